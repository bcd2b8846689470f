"""From a float network to an integer one, after training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .attention import Attention
from .attention_formats import quantize_attention
from .calibrate import Ranges, calibrate
from .checks.network_checks import check_network
from .compensation import compensate
from .errors import DeltaloomError
from .fixed import Format
from .formats import LayerFormats, choose_formats, fit_tables
from .graph import Affine, Constant, State
from .integer import IntegerLayer, Skip
from .integer_network import IntegerNetwork
from .legalise import legalise, prune
from .network import Layer, Network
from .output_sums import check_sums, keep_sums
from .recipe import Recipe
from .recipe_names import check_recipe
from .recipe_values import COMPENSATED, SUMS
from .stream_inference import infer_input_format, stream_sizes
from .streams import Embedding, Pool, StreamLayer, Sum
from .weights import quantize_weights
from .wiring import INPUT, MEMORY, sources_of

__all__ = [
    "Plan",
    "make_plan",
    "plan_of",
    "quantize",
    "quantize_layer",
    "round_network",
    "without_dead_parts",
]


@dataclass(frozen=True)
class Plan:
    """All that is decided before a network is rounded.

    Parameters
    ----------
    network : Network
        Float network; its layers hold nothing that their outputs do not depend on. With
        compensated rounding its weights are levels already.
    recipe : Recipe
        What was asked for.
    cells : mapping of str to LayerFormats
        By name of the cell.
    streams : mapping of str to Format
        By name of the layer that gives the stream.
    """

    network: Network
    recipe: Recipe
    cells: Mapping[str, LayerFormats]
    streams: Mapping[str, Format]


def quantize(
    network: Network,
    calibration: Any,
    recipe: Recipe | None = None,
    states: Any = None,
    *,
    memory: Any = None,
) -> IntegerNetwork:
    """Post-training quantization (Rezk et al. 2022: narrow matrix-vector inputs, wide the rest).

    Parameters
    ----------
    network : Network
        Float network.
    calibration : array or sequence of arrays
        Sample data, NumPy or torch: (batch, time, features), or a list of (time, features).
    recipe : Recipe, optional
        What to do; the defaults if left out.
    states : mapping of str to mapping of str to array, optional
        By layer and state, (batch, size): what the sample sequences start from.
    memory : array or sequence of arrays, optional
        As ``calibration``, a sequence for each of its own: for a network with a memory.
    """
    return round_network(make_plan(network, calibration, recipe or Recipe(), states, memory))


def make_plan(
    network: Network, calibration: Any, recipe: Recipe, states: Any = None, memory: Any = None
) -> Plan:
    """Choose every format, from the ranges of values on the calibration data."""
    if recipe.max_loss is not None:
        raise DeltaloomError(
            "Recipe max_loss must be left out where no loss is evaluated: quantizing a float "
            "network with evaluate finds the paths that it needs"
        )
    network = without_dead_parts(network)
    check_recipe(recipe, network)
    return plan_of(network, calibrate(network, calibration, states, memory), recipe)


def without_dead_parts(network: Network) -> Network:
    """The network without what no output depends on."""
    network.check()
    return Network(
        tuple(pruned(layer) if isinstance(layer, Layer) else layer for layer in network.layers)
    )


def plan_of(network: Network, ranges: Ranges, recipe: Recipe) -> Plan:
    """The plan of a network without dead parts whose ranges are known."""
    check_recipe(recipe, network)
    formats = choose_formats(network, ranges, recipe)
    if recipe.output == SUMS:
        formats = keep_sums(network, *formats)
    if recipe.rounding == COMPENSATED:
        network = compensate(network, ranges, formats[0])
    return Plan(network, recipe, *formats)


def round_network(plan: Plan) -> IntegerNetwork:
    """The network in the formats that were chosen."""
    layers = tuple(
        quantize_layer(layer, plan.cells[layer.name], plan.recipe)
        if isinstance(layer, Layer)
        else quantize_stream_layer(layer, plan)
        for layer in plan.network.layers
    )
    given = {
        root: plan.streams[root]
        for root in plan.network.inputs
        if infer_input_format(layers, root) is None
    }
    integer = IntegerNetwork(layers, given.get(INPUT), given.get(MEMORY))
    try:
        check_network(integer)
    except ValueError as error:
        raise DeltaloomError(str(error)) from None
    return integer


def quantize_stream_layer(layer: StreamLayer, plan: Plan) -> StreamLayer:
    """A stream layer in the formats of its streams."""
    format = plan.streams[layer.name]
    match layer:
        case Attention():
            sources = sources_of(plan.network.layers)[layer.name]
            sizes = stream_sizes(plan.network.layers, plan.network.inputs)
            return quantize_attention(
                layer,
                [plan.streams[source] for source in sources],
                [sizes[source] for source in sources],
                format,
                plan.recipe,
            )
        case Embedding():
            return replace(layer, table=format.quantize(layer.table), format=format)
        case Sum() | Pool(function="mean"):
            return replace(layer, format=format)
    return layer


def pruned(layer: Layer) -> Layer:
    """The layer without what its output does not depend on."""
    graph = prune(layer.graph)
    used = {node.name for node in graph.nodes if isinstance(node, Affine | Constant)}
    parameters = {
        name: values for name, values in layer.parameters.items() if name.split(".")[0] in used
    }
    kept = {state.name for _, state in graph.of(State)}
    initial = {name: values for name, values in layer.initial.items() if name in kept}
    return replace(layer, graph=graph, parameters=parameters, initial=initial)


def quantize_layer(layer: Layer, formats: LayerFormats, recipe: Recipe) -> IntegerLayer:
    """One layer, given the formats of its streams, states, operands and weights."""
    parameters = quantize_weights(layer, formats.operands, formats.weights, recipe)
    check_sums(layer, formats, parameters)
    tables = fit_tables(layer, formats, recipe)
    graph = legalise(layer, formats, parameters, tables)
    sizes = {
        path.name: layer.graph.nodes[path.operand].size
        for _, affine in layer.graph.of(Affine)
        for path in affine.paths
    }
    return IntegerLayer(
        name=layer.name,
        cell=layer.cell,
        graph=graph,
        weights=parameters.weights,
        biases=parameters.biases,
        tables={node.name: tables[node.name] for node in graph.nodes if node.table is not None},
        skip=Skip(recipe.skip),
        kept={
            operand: recipe.kept_of(layer.name, operand, sizes[operand])
            for operand in (sorted(formats.operands) if recipe.skip == Skip.TOP_K.value else ())
        },
        constants={
            node.name: formats.elementwise[node.name].quantize(layer.parameters[node.name])
            for _, node in graph.of(Constant)
        },
        theta={
            operand: recipe.theta_of(layer.name, operand) for operand in sorted(formats.operands)
        },
        sources=layer.sources,
        initial={
            state.name: state.format.quantize(layer.initial[state.name])
            for _, state in graph.of(State)
            if state.format is not None and state.name in layer.initial
        },
    )
