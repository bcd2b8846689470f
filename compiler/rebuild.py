"""An integer network from its description and its arrays.

Reading trusts nothing: whatever is missing, surplus or of the wrong kind is a ``ValueError``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .attention_structure import ATTENTION, rebuild_attention
from .convolution import Convolution
from .encodings import ENCODINGS, Encoding, Integers
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
from .integer import IntegerLayer, Skip
from .integer_network import IntegerNetwork
from .plain_values import format_of, integer, mapping, real, record, sequence, text
from .pwl import PiecewiseLinear
from .streams import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Pool,
    Reverse,
    StreamLayer,
    Sum,
    Window,
)
from .structure import encoding_of, paths_of, stream_fields
from .wiring import INPUT, MEMORY

__all__ = ["rebuild"]

OPERATIONS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        *(Input, State, Constant, Affine, Add, Sub, Mul),
        *(Activation, Rescale, Scale, Multiple, Reduce, Inverse),
    )
}
STREAM_LAYERS: dict[str, type[StreamLayer]] = {
    kind.__name__: kind
    for kind in (ArgMax, Concatenate, Embedding, LastStep, Pool, Reverse, Sum, Window)
}


def rebuild(description: object, tensors: Mapping[str, np.ndarray]) -> IntegerNetwork:
    """The network of a description and its arrays; its rules are not checked here."""
    keys = {"tables", "layers"}
    if isinstance(description, dict):
        keys |= {INPUT, MEMORY}.intersection(description)
    top = record(description, "Model", keys)
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
        if isinstance(entry, dict) and entry.get("kind") == ATTENTION:
            layers.append(rebuild_attention(index, entry, tables, take))
        elif isinstance(entry, dict) and "kind" in entry:
            layers.append(rebuild_stream_layer(index, entry, take))
        else:
            layers.append(rebuild_layer(index, entry, tables, take))
    if unused:
        raise ValueError(f"Tensors must all be used, not leave {', '.join(sorted(unused)[:3])}")
    given = {
        root: format_of(top[root], root.capitalize()) for root in (INPUT, MEMORY) if root in top
    }
    return IntegerNetwork(tuple(layers), given.get(INPUT), given.get(MEMORY))


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
    if isinstance(entry, dict) and "initial" in entry:
        keys.add("initial")
    if isinstance(entry, dict) and "kept" in entry:
        keys.add("kept")
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
        kept={
            operand: integer(count, f"Kept elements of {what}")
            for operand, count in mapping(
                values.get("kept", {}), f"Kept elements of {what}"
            ).items()
        },
        initial={
            state: take(f"layer.{index}.{state}.initial")
            for state in rebuild_initial(values.get("initial", []), nodes, what)
        },
    )


def rebuild_initial(value: object, nodes: Iterable[Node], what: str) -> list[str]:
    """Names of the states that do not start from zero."""
    states = {node.name for node in nodes if isinstance(node, State)}
    found = [text(name, f"Initial states of {what}") for name in sequence(value, what)]
    if not states.issuperset(found) or len(set(found)) < len(found):
        raise ValueError(f"Initial states of {what} must each be one of its states")
    return found


def rebuild_stream_layer(index: int, entry: dict[str, Any], take: Any) -> StreamLayer:
    what = f"Layer {index}"
    name = entry["kind"]
    if not isinstance(name, str) or name not in STREAM_LAYERS:
        raise ValueError(f"{what} must be one of {', '.join((ATTENTION, *STREAM_LAYERS))}")
    kind = STREAM_LAYERS[name]
    values = record(entry, what, {"kind", *stream_fields(kind)})
    del values["kind"]
    found = {key: rebuild_stream_field(key, value, what) for key, value in values.items()}
    if kind is Embedding:
        found["table"] = take(f"layer.{index}.table")
    return kind(**found)


def rebuild_stream_field(key: str, value: object, what: str) -> Any:
    match key:
        case "format":
            return None if value is None else format_of(value, what)
        case "sources":
            return rebuild_sources(value, what)
        case "padding":
            return tuple(integer(steps, what) for steps in sequence(value, what))
        case "max_steps" | "kernel" | "stride" | "dilation":
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
