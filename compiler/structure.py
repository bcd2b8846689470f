"""An integer network without its arrays, as plain values that JSON can hold."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from .attention_structure import describe_attention, energies_name
from .encodings import Encoding, Integers
from .graph import Affine, Node, Path
from .integer import IntegerLayer
from .integer_attention import IntegerAttention
from .integer_network import IntegerNetwork
from .pwl import PiecewiseLinear
from .streams import Embedding, StreamLayer
from .wiring import INPUT, MEMORY

__all__ = [
    "Tensors",
    "describe",
    "distinct_tables",
    "encoding_of",
    "paths_of",
    "stream_fields",
    "tensors_of",
]

Tensors = dict[str, np.ndarray]
"""Int64 arrays by name."""


def distinct_tables(network: IntegerNetwork) -> list[PiecewiseLinear]:
    """Every table of the network once, in the order of first use."""
    found: list[PiecewiseLinear] = []
    for layer in network.multiplying:
        for name in sorted(layer.tables):
            if layer.tables[name] not in found:
                found.append(layer.tables[name])
    return found


def tensors_of(network: IntegerNetwork) -> Tensors:
    """The network's arrays by their names in a file."""
    found: Tensors = {}
    for index, table in enumerate(distinct_tables(network)):
        found[f"table.{index}.base"] = table.base
        found[f"table.{index}.slope"] = table.slope
        if table.knots is not None:
            found[f"table.{index}.knots"] = table.knots
    for index, layer in enumerate(network.layers):
        if isinstance(layer, IntegerAttention) and layer.energies is not None:
            found[energies_name(index)] = layer.energies
        if isinstance(layer, IntegerLayer):
            for path, key in paths_of(layer.graph.nodes):
                found[f"layer.{index}.{key}"] = encoding_of(path).codes(layer.weights[key])
            for group in (layer.biases, layer.constants):
                for name, values in group.items():
                    found[f"layer.{index}.{name}"] = values
            for name, values in layer.initial.items():
                found[f"layer.{index}.{name}.initial"] = values
        elif isinstance(layer, Embedding):
            found[f"layer.{index}.table"] = layer.table
    return found


def paths_of(nodes: Iterable[Node]) -> Iterator[tuple[Path, str]]:
    """Every path, and the name of its weights within the layer."""
    for node in nodes:
        if isinstance(node, Affine):
            yield from ((path, node.key(path)) for path in node.paths)


def encoding_of(path: Path) -> Encoding:
    assert path.encoding is not None, "paths of an integer layer have an encoding"
    return path.encoding


def describe(network: IntegerNetwork) -> dict[str, Any]:
    """Everything but the arrays."""
    tables = distinct_tables(network)
    given = {INPUT: network.given_format, MEMORY: network.given_memory}
    return {
        **{root: str(format) for root, format in given.items() if format is not None},
        "tables": [
            {
                "function": table.function,
                "source": str(table.source),
                "target": str(table.target),
                "shift": table.shift,
                "segments": "uniform" if table.knots is None else "adaptive",
            }
            for table in tables
        ],
        "layers": [describe_part(layer, tables) for layer in network.layers],
    }


def describe_part(
    layer: IntegerLayer | StreamLayer, tables: list[PiecewiseLinear]
) -> dict[str, Any]:
    match layer:
        case IntegerLayer():
            return describe_layer(layer, tables)
        case IntegerAttention():
            return describe_attention(layer, tables)
    return describe_stream_layer(layer)


def describe_layer(layer: IntegerLayer, tables: list[PiecewiseLinear]) -> dict[str, Any]:
    """A layer; the states that it does not start from zero are named only where there are any."""
    values = {"initial": sorted(layer.initial)} if layer.initial else {}
    return values | {
        "name": layer.name,
        "sources": list(layer.sources),
        "cell": layer.cell,
        "skip": layer.skip.value,
        "theta": dict(layer.theta),
        **({"kept": dict(layer.kept)} if layer.kept else {}),
        "tables": {name: tables.index(table) for name, table in layer.tables.items()},
        "nodes": [describe_node(node) for node in layer.graph.nodes],
        "next_states": list(layer.graph.next_states),
        "output": layer.graph.output,
    }


def describe_stream_layer(layer: StreamLayer) -> dict[str, Any]:
    values = {name: getattr(layer, name) for name in stream_fields(type(layer))}
    if values.get("format") is not None:
        values["format"] = str(values["format"])
    if "padding" in values:
        values["padding"] = list(values["padding"])
    return {"kind": type(layer).__name__, **values, "sources": list(layer.sources)}


def stream_fields(kind: type[StreamLayer]) -> list[str]:
    """What a file says of a stream layer: all but its array."""
    return [field.name for field in fields(kind) if field.name != "table"]


def describe_node(node: Node) -> dict[str, Any]:
    values = describe_fields(node)
    if isinstance(node, Affine):
        values["paths"] = [describe_path(path) for path in node.paths]
    return {"operation": type(node).__name__, **values}


def describe_path(path: Path) -> dict[str, Any]:
    """A path; its encoding is said only where it is not integers, a convolution where it is one."""
    values = describe_fields(path)
    del values["convolution"], values["encoding"]
    if not isinstance(path.encoding, Integers):
        values["encoding"] = str(path.encoding)
    if path.convolution is not None:
        values["convolution"] = {
            name: list(value) for name, value in vars(path.convolution).items()
        }
    return values


def describe_fields(thing: Node | Path) -> dict[str, Any]:
    values = {field.name: getattr(thing, field.name) for field in fields(thing)}
    return values | {"format": str(thing.format)}
