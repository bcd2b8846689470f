"""From a float network to an integer one, after training."""

from dataclasses import replace
from typing import Any

from .calibrate import calibrate
from .checks import check_network
from .errors import DeltaloomError, UnsupportedError
from .fixed import Format
from .formats import LayerFormats, choose_formats, fit_tables
from .graph import Activation, Affine, Constant
from .integer import IntegerLayer, IntegerNetwork, Skip
from .legalise import legalise, prune
from .network import Layer, Network
from .pwl import PiecewiseLinear
from .recipe import Recipe, check_recipe
from .streams import Embedding, Pool, StreamLayer, Sum, Window
from .weights import quantize_weights

__all__ = ["quantize"]


def quantize(network: Network, calibration: Any, recipe: Recipe | None = None) -> IntegerNetwork:
    """Post-training quantization (Rezk et al. 2022: narrow matrix-vector inputs, wide the rest).

    Parameters
    ----------
    network : Network
        Float network.
    calibration : array or sequence of arrays
        Sample data, NumPy or torch: (batch, time, features), or a list of (time, features).
    recipe : Recipe, optional
        What to do; the defaults if left out.
    """
    recipe = recipe or Recipe()
    network.check()
    check_supported(network)
    network = Network(
        tuple(pruned(layer) if isinstance(layer, Layer) else layer for layer in network.layers)
    )
    check_recipe(recipe, network)
    ranges = calibrate(network, calibration)
    cells, streams = choose_formats(network, ranges, recipe)
    tables = fit_tables(recipe)
    integer = IntegerNetwork(
        tuple(
            quantize_layer(layer, cells[layer.name], tables, recipe)
            if isinstance(layer, Layer)
            else quantize_stream_layer(layer, streams[layer.name])
            for layer in network.layers
        )
    )
    try:
        check_network(integer)
    except ValueError as error:
        raise DeltaloomError(str(error)) from None
    return integer


def check_supported(network: Network) -> None:
    """Raise UnsupportedError for a layer without an integer form."""
    for layer in network.layers:
        if isinstance(layer, Pool) and layer.function == "mean":
            raise UnsupportedError(
                f"Layer {layer.name} is a mean over time, which has no integer form yet; the "
                f"largest value has one"
            )
        if isinstance(layer, Embedding | Window):
            raise UnsupportedError(
                f"Layer {layer.name} is a {type(layer).__name__}, which has no integer form yet; "
                f"cells, ArgMax, Concatenate, LastStep, Pool, Reverse and Sum have one"
            )


def quantize_stream_layer(layer: StreamLayer, format: Format) -> StreamLayer:
    """A stream layer, given its output's format."""
    return replace(layer, format=format) if isinstance(layer, Sum) else layer


def pruned(layer: Layer) -> Layer:
    """The layer without what its output does not depend on."""
    graph = prune(layer.graph)
    used = {node.name for node in graph.nodes if isinstance(node, Affine | Constant)}
    parameters = {
        name: values for name, values in layer.parameters.items() if name.split(".")[0] in used
    }
    return replace(layer, graph=graph, parameters=parameters)


def quantize_layer(
    layer: Layer, formats: LayerFormats, tables: dict[str, PiecewiseLinear], recipe: Recipe
) -> IntegerLayer:
    """One layer, given the formats of its streams, states and operands."""
    parameters = quantize_weights(layer, formats.operands, recipe)
    graph = legalise(layer, formats, parameters, tables)
    return IntegerLayer(
        name=layer.name,
        cell=layer.cell,
        graph=graph,
        weights=parameters.weights,
        biases=parameters.biases,
        tables={
            node.name: tables[node.function]
            for _, node in graph.of(Activation)
            if node.function in tables
        },
        skip=Skip(recipe.skip),
        constants={
            node.name: formats.elementwise[node.name].quantize(layer.parameters[node.name])
            for _, node in graph.of(Constant)
        },
        theta={
            operand: recipe.theta_of(layer.name, operand) for operand in sorted(formats.operands)
        },
        sources=layer.sources,
    )
