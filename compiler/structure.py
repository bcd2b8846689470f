"""An integer network without its arrays, as plain values that JSON can hold, and back.

Reading trusts nothing: whatever is missing, surplus or of the wrong kind is a ``ValueError``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .convolution import Convolution
from .encodings import ENCODINGS, Encoding, Integers
from .fixed import Format
from .graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Graph,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Path,
    Reduce,
    Rescale,
    Scale,
    State,
    Sub,
)
from .integer import IntegerLayer, IntegerNetwork, Skip
from .pwl import PiecewiseLinear
from .streams import ArgMax, Concatenate, LastStep, Pool, Reverse, StreamLayer, Sum

__all__ = [
    "Tensors",
    "describe",
    "distinct_tables",
    "encoding_of",
    "paths_of",
    "rebuild",
    "tensors_of",
]

Tensors = dict[str, np.ndarray]
"""Int64 arrays by name."""

OPERATIONS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        *(Input, State, Constant, Affine, Add, Sub, Mul),
        *(Activation, Rescale, Scale, Multiple, Reduce, Inverse),
    )
}
STREAM_LAYERS: dict[str, type[StreamLayer]] = {
    kind.__name__: kind for kind in (ArgMax, Concatenate, LastStep, Pool, Reverse, Sum)
}
FORMAT = re.compile(r"s([1-9][0-9]?)\.(0|-?[1-9][0-9]{0,2})")
LARGEST = 1 << 40


def distinct_tables(network: IntegerNetwork) -> list[PiecewiseLinear]:
    """Every table of the network once, in the order of first use."""
    found: list[PiecewiseLinear] = []
    for layer in network.computing:
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
        if isinstance(layer, IntegerLayer):
            for path, key in paths_of(layer.graph.nodes):
                found[f"layer.{index}.{key}"] = encoding_of(path).codes(layer.weights[key])
            for group in (layer.biases, layer.constants):
                for name, values in group.items():
                    found[f"layer.{index}.{name}"] = values
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
    return {
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
        "layers": [
            describe_layer(layer, tables)
            if isinstance(layer, IntegerLayer)
            else describe_stream_layer(layer)
            for layer in network.layers
        ],
    }


def describe_layer(layer: IntegerLayer, tables: list[PiecewiseLinear]) -> dict[str, Any]:
    return {
        "name": layer.name,
        "sources": list(layer.sources),
        "cell": layer.cell,
        "skip": layer.skip.value,
        "theta": dict(layer.theta),
        "tables": {name: tables.index(table) for name, table in layer.tables.items()},
        "nodes": [describe_node(node) for node in layer.graph.nodes],
        "next_states": list(layer.graph.next_states),
        "output": layer.graph.output,
    }


def describe_stream_layer(layer: StreamLayer) -> dict[str, Any]:
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    if "format" in values:
        values["format"] = str(values["format"])
    return {"kind": type(layer).__name__, **values, "sources": list(layer.sources)}


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


def rebuild(description: object, tensors: Mapping[str, np.ndarray]) -> IntegerNetwork:
    """The network of a description and its arrays; its rules are not checked here."""
    top = record(description, "Model", {"tables", "layers"})
    unused = dict(tensors)

    def take(name: str) -> np.ndarray:
        if name not in unused:
            raise ValueError(f"Tensor {name} must be in the file, once")
        return unused.pop(name)

    tables = [
        rebuild_table(index, entry, take)
        for index, entry in enumerate(sequence(top["tables"], "Tables"))
    ]
    layers: list[IntegerLayer | StreamLayer] = []
    for index, entry in enumerate(sequence(top["layers"], "Layers")):
        if isinstance(entry, dict) and "kind" in entry:
            layers.append(rebuild_stream_layer(index, entry))
        else:
            layers.append(rebuild_layer(index, entry, tables, take))
    if unused:
        raise ValueError(f"Tensors must all be used, not leave {', '.join(sorted(unused)[:3])}")
    return IntegerNetwork(tuple(layers))


def rebuild_table(index: int, entry: object, take: Any) -> PiecewiseLinear:
    values = record(entry, "Table", {"function", "source", "target", "shift", "segments"})
    base, slope = take(f"table.{index}.base"), take(f"table.{index}.slope")
    if base.ndim != 1 or base.shape != slope.shape or not len(base):
        raise ValueError("Table must have one base and one slope a segment")
    knots = None
    match values["segments"]:
        case "uniform":
            pass
        case "adaptive":
            knots = take(f"table.{index}.knots")
            knots.flags.writeable = False
        case _:
            raise ValueError("Table must have uniform or adaptive segments")
    base.flags.writeable = slope.flags.writeable = False
    return PiecewiseLinear(
        function=text(values["function"], "Table function"),
        source=format_of(values["source"], "Table source"),
        target=format_of(values["target"], "Table target"),
        base=base,
        slope=slope,
        shift=integer(values["shift"], "Table shift"),
        knots=knots,
    )


def rebuild_layer(
    index: int, entry: object, tables: list[PiecewiseLinear], take: Any
) -> IntegerLayer:
    keys = {"name", "sources", "cell", "skip", "theta", "tables"}
    keys |= {"nodes", "next_states", "output"}
    values = record(entry, f"Layer {index}", keys)
    name = text(values["name"], f"Name of layer {index}")
    what = f"Layer {name}"
    nodes = tuple(rebuild_node(node, what) for node in sequence(values["nodes"], what))
    affines = [node for node in nodes if isinstance(node, Affine)]
    uses = {
        node: integer(place, f"Table of {what}")
        for node, place in mapping(values["tables"], f"Tables of {what}").items()
    }
    if any(place >= len(tables) for place in uses.values()):
        raise ValueError(f"{what} must use tables of the file")
    return IntegerLayer(
        name=name,
        cell=text(values["cell"], f"Cell of {what}"),
        graph=Graph(
            nodes=nodes,
            next_states=tuple(
                integer(place, f"Next state of {what}")
                for place in sequence(values["next_states"], f"Next states of {what}")
            ),
            output=integer(values["output"], f"Output of {what}"),
        ),
        weights={
            key: encoding_of(path).integers(take(f"layer.{index}.{key}"))
            for path, key in paths_of(nodes)
        },
        biases={affine.name: take(f"layer.{index}.{affine.name}") for affine in affines},
        constants={
            node.name: take(f"layer.{index}.{node.name}")
            for node in nodes
            if isinstance(node, Constant)
        },
        tables={node: tables[place] for node, place in uses.items()},
        skip=Skip(text(values["skip"], f"Skip of {what}")),
        theta={
            operand: integer(theta, f"Threshold of {what}")
            for operand, theta in mapping(values["theta"], f"Thresholds of {what}").items()
        },
        sources=rebuild_sources(values["sources"], what),
    )


def rebuild_stream_layer(index: int, entry: dict[str, Any]) -> StreamLayer:
    what = f"Layer {index}"
    name = entry["kind"]
    if not isinstance(name, str) or name not in STREAM_LAYERS:
        raise ValueError(f"{what} must be one of {', '.join(STREAM_LAYERS)}")
    kind = STREAM_LAYERS[name]
    values = record(entry, what, {"kind"} | {field.name for field in fields(kind)})
    del values["kind"]
    return kind(**{key: rebuild_stream_field(key, value, what) for key, value in values.items()})


def rebuild_stream_field(key: str, value: object, what: str) -> Any:
    match key:
        case "format":
            return format_of(value, what)
        case "sources":
            return rebuild_sources(value, what)
        case "max_steps":
            return integer(value, what)
        case _:
            return text(value, what)


def rebuild_sources(value: object, what: str) -> tuple[str, ...]:
    what = f"Sources of {what}"
    return tuple(text(source, what) for source in sequence(value, what))


def rebuild_node(entry: object, layer: str) -> Node:
    what = f"Node of {layer}"
    name = entry.get("operation") if isinstance(entry, dict) else None
    if not isinstance(name, str) or name not in OPERATIONS:
        raise ValueError(f"{what} must be one of {', '.join(OPERATIONS)}")
    kind = OPERATIONS[name]
    values = record(entry, what, {"operation"} | {field.name for field in fields(kind)})
    del values["operation"]
    return kind(**{key: rebuild_field(key, value, what) for key, value in values.items()})


def rebuild_field(key: str, value: object, what: str) -> Any:
    match key:
        case "format":
            return format_of(value, what)
        case "size" | "a" | "b" | "operand" | "factor" | "multiplier":
            return integer(value, what)
        case "epsilon":
            return real(value, what)
        case "paths":
            return tuple(rebuild_path(path, what) for path in sequence(value, what))
        case _:
            return text(value, what)


def rebuild_path(entry: object, what: str) -> Path:
    keys = {field.name for field in fields(Path)} - {"convolution", "encoding"}
    convolution, encoding = None, None
    if isinstance(entry, dict) and "encoding" in entry:
        encoding = rebuild_encoding(entry["encoding"], what)
        keys.add("encoding")
    if isinstance(entry, dict) and "convolution" in entry:
        convolution = rebuild_convolution(entry["convolution"], what)
        keys.add("convolution")
    values = record(entry, f"Path of {what}", keys)
    plain = {key: values[key] for key in values if key not in ("convolution", "encoding")}
    found = {key: rebuild_field(key, value, what) for key, value in plain.items()}
    encoding = encoding or Integers.of(found["format"].width)
    return Path(**found, encoding=encoding, convolution=convolution)


def rebuild_encoding(value: object, what: str) -> Encoding:
    found = ENCODINGS.get(value) if isinstance(value, str) else None
    if found is None or isinstance(found, Integers):
        others = (name for name, known in ENCODINGS.items() if not isinstance(known, Integers))
        raise ValueError(f"Encoding of {what} must be one of {', '.join(others)}")
    return found


def rebuild_convolution(entry: object, what: str) -> Convolution:
    values = record(entry, f"Convolution of {what}", {f.name for f in fields(Convolution)})
    pairs = {
        key: tuple(integer(n, f"Convolution of {what}") for n in sequence(value, what))
        for key, value in values.items()
    }
    if any(len(both) != 2 for both in pairs.values()):
        raise ValueError(f"Convolution of {what} must have rows and columns")
    return Convolution(**pairs)  # type: ignore[arg-type]


def record(value: object, what: str, keys: set[str]) -> dict[str, Any]:
    found = mapping(value, what)
    if set(found) != keys:
        raise ValueError(f"{what} must have {', '.join(sorted(keys))}")
    return dict(found)


def mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    return value


def sequence(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list")
    return value


def text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 200:
        raise ValueError(f"{what} must be a name of 1 to 200 printable characters")
    return value


def integer(value: object, what: str) -> int:
    """A count, position or threshold."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"{what} must have a non-negative integer")
    return value


def real(value: object, what: str) -> float:
    """A finite number that is not negative."""
    if not isinstance(value, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{what} must have a non-negative number")
    return value


def format_of(value: object, what: str) -> Format:
    match = FORMAT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{what} must have a format like s16.15")
    return Format(int(match[1]), int(match[2]))
