"""Which fixed-point format every value of a network has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .calibrate import STREAM, Ranges, Statistics
from .clipping import limited_format
from .encodings import WeightFormat
from .errors import DeltaloomError, UnsupportedError
from .fixed import Format
from .functions import Function
from .graph import Activation, Affine, Input, Inverse, State, Unary
from .inverse import fit_inverse
from .network import Layer, Network
from .pwl import PiecewiseLinear
from .pwl_adaptive import fit_adaptive
from .pwl_corners import fit_corners
from .pwl_uniform import fit
from .recipe import Recipe
from .stream_formats import choose_stream_formats, operand_format
from .weight_scales import choose_weight_formats
from .wiring import sources_of

__all__ = ["LayerFormats", "choose_formats", "fit_table", "fit_tables"]


@dataclass(frozen=True)
class LayerFormats:
    """The formats of one layer that are chosen; all others follow from them exactly.

    Parameters
    ----------
    input, output : Format
        Of the layer's streams.
    operands : mapping of str to Format
        By operand: what matrix-vector products take.
    states : mapping of str to Format
        By state: what is kept from one timestep to the next.
    elementwise : mapping of str to Format
        By node of the float graph: what its value is rounded to where it has to be.
    weights : mapping of str to WeightFormat
        By ``gate.operand``.
    """

    input: Format
    output: Format
    operands: Mapping[str, Format]
    states: Mapping[str, Format]
    elementwise: Mapping[str, Format]
    weights: Mapping[str, WeightFormat]


def choose_formats(
    network: Network, ranges: Ranges, recipe: Recipe
) -> tuple[dict[str, LayerFormats], dict[str, Format]]:
    """Formats of every cell, by layer name, and of every stream, by the name of its layer.

    A stream has one format, which all its readers take; :mod:`~deltaloom.compiler.stream_formats`
    says which.
    """
    streams = choose_stream_formats(network, ranges, recipe)
    cells = {}
    for layer in network.computing:
        input = streams[sources_of(network.layers)[layer.name][0]]
        statistics = ranges[sources_of(network.layers)[layer.name][0], STREAM]
        operands = _operand_formats(layer, input, statistics, ranges, recipe)
        cells[layer.name] = LayerFormats(
            input=input,
            output=streams[layer.name],
            operands=operands,
            states=_state_formats(layer, operands, ranges, recipe),
            elementwise={
                node.name: ranges[layer.name, node.name].format(recipe.elementwise, "minmax")
                for node in layer.graph.nodes
            },
            weights=choose_weight_formats(layer, recipe),
        )
    return cells, streams


def _operand_formats(
    layer: Layer, input: Format, stream: Statistics, ranges: Ranges, recipe: Recipe
) -> dict[str, Format]:
    """An input that comes wider than the recipe wants it multiplied is rounded."""
    found = {}
    for _, affine in layer.graph.of(Affine):
        for path in affine.paths:
            match layer.graph.nodes[path.operand]:
                case Input():
                    width = recipe.activation_bits(layer.name, path.name)
                    narrow = operand_format(layer.name, path.name, stream, recipe)
                    wider = input.width > width
                    if wider and path.convolution is not None:
                        raise UnsupportedError(
                            f"Operand {layer.name}.{path.name} of a convolution is multiplied as "
                            f"it comes, which is in {input.width} bits; supported is int{width} "
                            f"for all that reads this stream"
                        )
                    found[path.name] = narrow if wider else input
                    limit = recipe.operand_limit(layer.name, path.name)
                    if limit is not None and found[path.name] != narrow:
                        raise UnsupportedError(
                            f"Operand {layer.name}.{path.name} is multiplied as it comes, in the "
                            f"{input} that all which reads this stream needs; supported in "
                            f"operand_limits is {narrow} where nothing else asks for more"
                        )
                    continue
                case State():
                    statistics = ranges.following(layer, path.operand)
                case node:
                    statistics = ranges[layer.name, node.name]
            found[path.name] = operand_format(layer.name, path.name, statistics, recipe)
    return found


def _state_formats(
    layer: Layer, operands: Mapping[str, Format], ranges: Ranges, recipe: Recipe
) -> dict[str, Format]:
    """A state that only matrix-vector products read is kept as they take it."""
    graph, width = layer.graph, recipe.elementwise
    found = {}
    for position, state in graph.of(State):
        limit = recipe.state_limit(layer.name, state.name)
        if graph.only_multiplied(position):
            found[state.name] = operands[state.name]
        elif limit is not None:
            found[state.name] = limited_format(limit, width)
        elif recipe.clip == "mse":
            found[state.name] = ranges.state_format(layer, position, width)
        else:
            found[state.name] = ranges.following(layer, position).format(width, recipe.clip)
    return found


def fit_tables(layer: Layer, formats: LayerFormats, recipe: Recipe) -> dict[str, PiecewiseLinear]:
    """The table of each activation and inverse of a float layer, by its node.

    Where a function says what its inputs and results can be, all its tables are the same; else
    they cover what calibration found. Those of inverses are the same for all recipes.
    """
    found = {}
    for _, node in layer.graph.of(Unary):
        if isinstance(node, Inverse):
            found[node.name] = fit_inverse(node.function)
        elif isinstance(node, Activation) and node.table is not None:
            operand = layer.graph.nodes[node.operand].name
            source = node.definition.source(formats.elementwise[operand])
            target = node.definition.target(source, formats.elementwise[node.name])
            found[node.name] = fit_table(node.definition, source, target, recipe)
    return found


def fit_table(
    function: Function, source: Format, target: Format, recipe: Recipe
) -> PiecewiseLinear:
    """Of a function that is piecewise linear itself, its own pieces."""
    options: dict[str, Any] = {}
    if recipe.segments is not None:
        options["segments"] = recipe.segments
    else:
        options["budget"] = recipe.table_budget(target.width)
    try:
        if function.corners is not None:
            return fit_corners(function, source, target)
        if recipe.tables == "adaptive":
            return fit_adaptive(function, source, target, criterion=recipe.knots, **options)
        return fit(function, source, target, **options)
    except ValueError as error:
        raise DeltaloomError(f"Recipe asks for {recipe.tables} tables: {error}") from error
