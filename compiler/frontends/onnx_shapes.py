"""Operators of ONNX that move the elements of streams, or nothing at all, by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .onnx_constants import axes_of, slices_of
from .onnx_node import Node
from .onnx_values import index_of
from .stream_moves import concatenate, flip, reshape_stream, take
from .tensors import Stream

__all__ = ["SHAPES", "gather_parts"]


def gather_parts(node: Node, stream: Stream, indices: Any) -> Stream:
    """``Gather`` from a stream: the last timestep, or one layer of a stack."""
    place = stream.place(node.attributes.get("axis", 0), node.subject)
    chosen = index_of(indices, "indices", node.subject)
    return take(node, stream, place, chosen, indices.ndim > 0, node.stem)


def slice_(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Slice``: whole axes, the last timestep, time reversed, or layers of a stack."""
    stream = arguments[0]
    if not isinstance(stream, Stream):
        raise node.refusal("slices a constant by a computed range", "a constant range")
    for axis, item in slices_of(node.attributes, arguments, node.subject).items():
        place = stream.place(axis, node.subject)
        size = stream.sizes[place]
        if item == slice(-1, None, -1) and stream.axes[place] == "time":
            stream = flip(node, stream, place)
        elif isinstance(size, int):
            stream = take(node, stream, place, range(size)[item], True, node.stem)
        elif item == slice(-1, None, 1):
            stream = take(node, stream, place, [-1], True, node.stem)
        elif item != slice(None, None, 1):
            raise node.refusal(f"takes a part of the {stream.axes[place]} axis", "its last one")
    return (stream,)


def concat(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Concat``: features side by side, or layers on a stack."""
    if not all(isinstance(argument, Stream) for argument in arguments):
        raise node.refusal("joins constants and computed tensors", "computed ones alone")
    return (concatenate(node, arguments, node.attributes["axis"]),)


def split(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Split``: layers of a stack."""
    stream = arguments[0]
    place = stream.place(node.attributes.get("axis", 0), node.subject)
    count = stream.sizes[place]
    if stream.axes[place] not in ("stack", "one") or not isinstance(count, int):
        raise node.refusal(f"splits the {stream.axes[place]} axis", "layers of a stack")
    sizes = node.attributes.get("split")
    if len(arguments) > 1 and arguments[1] is not None:
        sizes = index_of(arguments[1], "sizes", node.subject)
    parts = node.attributes.get("num_outputs", node.outputs)
    largest = -(-count // parts)
    sizes = sizes or [min(largest, count - n) for n in range(0, count, largest)]
    if sum(sizes) != count or min(sizes) < 1:
        raise node.refusal(f"splits {count} into {sizes}", "parts of them all")
    ends = np.cumsum(sizes).tolist()
    return tuple(
        take(node, stream, place, range(end - size, end), True, node.stem)
        for end, size in zip(ends, sizes, strict=True)
    )


def flatten(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Flatten`` to two axes."""
    (stream,) = arguments
    place = node.attributes.get("axis", 1) % (len(stream.axes) + 1)
    if place != 1:
        raise node.refusal(f"has axis={node.attributes['axis']}", "axis=1")
    return (reshape_stream(node, stream, [stream.sizes[0], -1], keep_zero=True),)


def transpose(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    (stream,) = arguments
    order = node.attributes.get("perm", range(len(stream.axes))[::-1])
    return (stream.permuted(list(order), node.subject),)


def squeeze(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    axes = axes_of(node.attributes, arguments, node.subject)
    return (arguments[0].squeezed(axes, node.subject),)


def unsqueeze(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    stream = arguments[0]
    axes = axes_of(node.attributes, arguments, node.subject) or []
    rank = len(stream.axes) + len(axes)
    for place in sorted(axis % rank for axis in axes):
        stream = stream.inserted(place)
    return (stream,)


def reshape_(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    stream, shape = arguments
    if not isinstance(stream, Stream) or not isinstance(shape, np.ndarray):
        raise node.refusal("has a computed shape", "one that follows from its input's")
    zero = bool(node.attributes.get("allowzero", 0))
    return (reshape_stream(node, stream, shape.ravel().tolist(), zero),)


def shape_of(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    bounds = slice(node.attributes.get("start", 0), node.attributes.get("end"))
    sizes = arguments[0].sizes[bounds]
    kind = np.int64 if all(isinstance(size, int) for size in sizes) else object
    return (np.array(sizes, dtype=kind),)


def cast(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Cast`` to another float type, or of indices to another integer."""
    (stream,) = arguments
    kind = node.attributes["to"]
    if kind not in ((1, 11) if "features" in stream.axes else (1, 6, 7, 11)):
        raise node.refusal(f"casts to the type numbered {kind}", "float or double")
    return (stream,)


def identity(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    if node.kind == "Dropout" and len(arguments) > 2:
        training = arguments[2]
        if training is not None and not (isinstance(training, np.ndarray) and not training.any()):
            raise node.refusal("drops at inference too", "training_mode=False")
    return (arguments[0],)


SHAPES: dict[str, Callable[[Node, list[Any]], tuple[Any, ...]]] = {
    "Slice": slice_,
    "Concat": concat,
    "Split": split,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Reshape": reshape_,
    "Shape": shape_of,
    "Cast": cast,
    "Identity": identity,
    "Dropout": identity,
}
