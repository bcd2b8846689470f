"""The float network beside an integer one: the same graphs in real numbers, node by node.

Any one of the roundings, weights and tables of the integer network can be put into it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..compiler.attention_formats import dequantize_attention
from ..compiler.embedding import Embedding
from ..compiler.encodings import UNIT_MULTIPLIER
from ..compiler.errors import DeltaloomError
from ..compiler.fixed import Format
from ..compiler.functions import Function
from ..compiler.graph import (
    Activation,
    Affine,
    Constant,
    Graph,
    Inverse,
    Node,
    OwnActivation,
    Rescale,
    Scale,
    State,
)
from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.network import Layer, Network, parameter_shapes
from ..compiler.pwl import PiecewiseLinear
from ..compiler.streams import StreamLayer

__all__ = ["Part", "alone", "parts_of", "reference_network"]


@dataclass(frozen=True)
class Part:
    """What of a quantized network can be quantized alone.

    Parameters
    ----------
    layer, name : str
        A layer, and in it a node, or weights as ``gate.operand``.
    what : str
        What it is: ``weights``, a ``constant``, a ``table``, or values that a node rounds and cuts
        off: an ``operand`` of products, a ``state``, the ``output``, a ``gate`` (a sum of
        products), any other ``value``.
    of : str
        The operand, state, gate or function that the node belongs to.
    """

    layer: str
    name: str
    what: str
    of: str

    def __str__(self) -> str:
        return f"{self.layer} {self.what} {self.of}".rstrip()


def reference_network(network: IntegerNetwork, model: Network | None = None) -> Network:
    """Graphs of the integer network with the parameters of a float one, or with its own.

    Raises
    ------
    DeltaloomError
        If the float network is not one that the integer network can come from, or, without it, a
        table stands for a function that is not known.
    """
    given = {layer.name: layer for layer in model.layers} if model else {}
    if model:
        check_same(network, model)
    layers: list[Layer | StreamLayer] = []
    for layer in network.layers:
        match layer, given.get(layer.name):
            case IntegerLayer(), Layer() as own:
                graph = replace(own_functions(layer, own.graph), output=layer.graph.output)
                wanted = parameter_shapes(layer.graph)
                parameters = {name: own.parameters[name] for name in wanted}
                layers.append(
                    Layer(layer.name, layer.cell, graph, parameters, layer.sources, own.initial)
                )
            case IntegerLayer(), _:
                layers.append(dequantized(layer))
            case IntegerAttention(), None:
                layers.append(dequantize_attention(layer))
            case Embedding(format=Format() as format), None:
                layers.append(replace(layer, table=format.dequantize(layer.table), format=None))
            case _, None:
                layers.append(layer)
            case _, own:
                layers.append(own)
    return Network(tuple(layers))


def check_same(network: IntegerNetwork, model: Network) -> None:
    wanted, found = ([layer.name for layer in part.layers] for part in (network, model))
    if wanted != found:
        raise DeltaloomError(
            f"Float model must have the layers of the quantized one, {', '.join(wanted)}, "
            f"not {', '.join(found)}"
        )
    for layer, own in zip(network.layers, model.layers, strict=True):
        shapes = parameter_shapes(layer.graph) if isinstance(layer, IntegerLayer) else {}
        for name, shape in shapes.items():
            values = own.parameters.get(name) if isinstance(own, Layer) else None
            if values is None or values.shape != shape:
                has = "none" if values is None else f"one of {values.shape}"
                raise DeltaloomError(
                    f"Float model must have a parameter {layer.name}.{name} of shape {shape}, as "
                    f"the quantized one has, not {has}"
                )


def own_functions(layer: IntegerLayer, graph: Graph | None = None) -> Graph:
    """The layer's graph with functions that are a user's own, from its tables or a float graph.

    An inverse's epsilon is the float one if there is one.
    """
    known = {} if graph is None else {node.name: node for node in graph.nodes}
    nodes: list[Node] = []
    for node in layer.graph.nodes:
        if isinstance(node, Activation) and node.table is not None:
            table, given = layer.tables[node.name], known.get(node.name)
            own = given.own if isinstance(given, OwnActivation) else table.definition
            if own is None and not table.known:
                raise DeltaloomError(
                    f"Function {node.function} of {layer.name}.{node.name} must be known, which "
                    f"takes the float model: it is not in the quantized one"
                )
            node = node if own is None else with_function(node, own)
        elif isinstance(node, Inverse) and isinstance(exact := known.get(node.name), Inverse):
            node = replace(node, epsilon=exact.epsilon)
        nodes.append(node)
    return replace(layer.graph, nodes=tuple(nodes))


def with_function(node: Node, function: Function) -> OwnActivation:
    """A node of one operand, computing something else."""
    (operand,) = node.operands
    return OwnActivation(
        name=node.name, size=node.size, operand=operand, function=function.name, own=function
    )


def dequantized(layer: IntegerLayer) -> Layer:
    """The layer with what its integers stand for."""
    initial = {
        state.name: format_of(state).dequantize(layer.initial[state.name])
        for _, state in layer.graph.of(State)
        if state.name in layer.initial
    }
    parameters = real_parameters(layer)
    return Layer(layer.name, layer.cell, own_functions(layer), parameters, layer.sources, initial)


def real_parameters(layer: IntegerLayer) -> dict[str, np.ndarray]:
    """What weights, biases and constants stand for, real scales included."""
    found: dict[str, np.ndarray] = {}
    mantissas = {
        node.name.removesuffix("_scaled"): node.multiplier / UNIT_MULTIPLIER
        for _, node in layer.graph.of(Scale)
    }
    for _, affine in layer.graph.of(Affine):
        mantissa = mantissas.get(affine.name, 1.0)
        for path in affine.paths:
            assert path.format is not None
            key = affine.key(path)
            found[key] = path.format.dequantize(layer.weights[key]) * mantissa
        bias = layer.biases[affine.name]
        found[affine.name] = format_of(affine).dequantize(bias) * mantissa
    for _, constant in layer.graph.of(Constant):
        found[constant.name] = format_of(constant).dequantize(layer.constants[constant.name])
    return found


def format_of(node: Node) -> Format:
    assert node.format is not None, "an integer layer's nodes have formats"
    return node.format


def parts_of(network: IntegerNetwork, *, weights: bool) -> list[Part]:
    """Everything in cells that loses something; weights and constants only if they can differ."""
    found = []
    for layer in network.computing:
        for position, node in enumerate(layer.graph.nodes):
            match node:
                case Affine() if weights:
                    keys = (node.key(path) for path in node.paths)
                    found += [Part(layer.name, key, "weights", key) for key in keys]
                case Constant() if weights:
                    found.append(Part(layer.name, node.name, "constant", node.name))
                case Rescale():
                    found.append(Part(layer.name, node.name, *role_of(layer, position)))
                case Activation() if node.table is not None:
                    found.append(Part(layer.name, node.name, "table", node.name))
    return found


def role_of(layer: IntegerLayer, position: int) -> tuple[str, str]:
    """What a rounding is for, and the name of that."""
    graph = layer.graph
    for operand in layer.operands:
        source = graph.nodes[operand.source]
        if position == operand.node or (
            isinstance(source, State)
            and operand.node == operand.source
            and position == graph.next_of(operand.source)
        ):
            return "operand", operand.name
    for place, state in graph.of(State):
        if position == graph.next_of(place):
            return "state", state.name
    source = graph.nodes[graph.nodes[position].operands[0]]
    if position == graph.output:
        return "output", ""
    return ("gate" if isinstance(source, Affine) else "value"), source.name


def alone(reference: Network, network: IntegerNetwork, part: Part) -> Network:
    """The reference with one part as the integer network has it."""
    (layer,) = (layer for layer in network.computing if layer.name == part.layer)
    (own,) = (own for own in reference.layers if own.name == part.layer)
    assert isinstance(own, Layer)
    if part.what in ("weights", "constant"):
        real = real_parameters(layer)
        changed = replace(own, parameters={**own.parameters, part.name: real[part.name]})
    else:
        nodes = tuple(
            quantized(node, integer, layer.tables) if node.name == part.name else node
            for node, integer in zip(own.graph.nodes, layer.graph.nodes, strict=True)
        )
        changed = replace(own, graph=replace(own.graph, nodes=nodes))
    return Network(tuple(changed if old is own else old for old in reference.layers))


def quantized(node: Node, integer: Node, tables: Mapping[str, PiecewiseLinear]) -> Node:
    """A rounding, or a table's error, where the reference has real numbers."""
    format = format_of(integer)
    if isinstance(integer, Rescale):
        rounded = Function("rounded", lambda x: format.dequantize(format.quantize(x)))
        return with_function(node, rounded)
    assert isinstance(node, Activation)
    table, exact = tables[node.name], node.definition

    def looked_up(x: np.ndarray) -> np.ndarray:
        """The table's error at the nearest code, so that its input's rounding has no part in it."""
        codes = table.source.quantize(x)
        error = table.target.dequantize(table(codes)) - exact(table.source.dequantize(codes))
        found: np.ndarray = exact(x) + error
        return found

    return with_function(node, Function("looked_up", looked_up))
