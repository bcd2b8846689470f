"""Axes and elements of streams that come, go or change places, in every front end."""

from collections.abc import Sequence
from dataclasses import replace

from ..axes import AxisOrderError, axes_text
from ..errors import UnsupportedError
from ..network import Concatenate, LastStep
from .reshape import reshape
from .stream_context import Context
from .tensors import Size, Stream

__all__ = ["concatenate", "flip", "last_of", "reshape_stream", "take"]


def last_of(context: Context, name: str, stem: str) -> str:
    """The last timestep of a stream."""
    return context.builder.add(LastStep(context.builder.fresh(stem), sources=(name,)))


def concatenate(context: Context, streams: Sequence[Stream], axis: int) -> Stream:
    """Features side by side, or layers on a stack."""
    first = streams[0]
    if len(streams) == 1:
        return first
    place = first.place(axis, context.subject)
    for other in streams[1:]:
        same = len(other.axes) == len(first.axes)
        if not same or not first.without(place).same_shape(other.without(place)):
            raise context.refusal(
                f"joins tensors with axes {axes_text(first.axes)} of lengths {first.lengths} and "
                f"{axes_text(other.axes)} of lengths {other.lengths}",
                "tensors that are equal but for one axis",
            )
    kinds = {stream.axes[place] for stream in streams}
    parts = tuple(part for stream in streams for part in stream.parts)
    if kinds == {"features"} and len(parts) == len(streams):
        name = context.builder.add(Concatenate(context.fresh(), sources=parts))
        sizes = [stream.sizes[place] for stream in streams]
        known = [size for size in sizes if isinstance(size, int)]
        total: Size = sum(known) if len(known) == len(sizes) else "features"
        return first.with_features(name, total)
    if kinds <= {"one", "stack"} and "stack" not in first.without(place).axes:
        return replace(first.with_axis(place, "stack", len(parts)), parts=parts)
    raise AxisOrderError(
        f"{context.subject} joins along the {first.axes[place]} axis; supported are features"
    )


def flip(context: Context, stream: Stream, axis: int) -> Stream:
    """Time from its end."""
    place = stream.place(axis, context.subject)
    if stream.axes[place] != "time":
        raise context.refusal(f"reverses the {stream.axes[place]} axis", "time")
    parts = tuple(
        context.builder.reverse(context.stem, part, context.subject) for part in stream.parts
    )
    return replace(stream, parts=parts)


def reshape_stream(
    context: Context, stream: Stream, shape: Sequence[Size], keep_zero: bool
) -> Stream:
    """Axes that come, go or merge; layers that merge with features are concatenated."""
    found = reshape(stream, shape, keep_zero, context.subject)
    if "stack features" not in found.axes:
        return found
    name = context.builder.add(Concatenate(context.fresh(), sources=found.parts))
    place = found.axes.index("stack features")
    return replace(found.with_axis(place, "features", found.sizes[place]), parts=(name,))


def take(
    context: Context, stream: Stream, place: int, indices: Sequence[int], keep: bool, stem: str
) -> Stream:
    """Some elements of an axis: all of them, the last timestep, or layers of a stack.

    ``stem`` is what the selection of the last timestep is called.
    """
    axis, size = stream.axes[place], stream.sizes[place]
    if isinstance(size, int) and list(indices) == list(range(size)) and keep:
        return stream
    last = [[-1], [size - 1]] if isinstance(size, int) else [[-1]]
    if axis == "time" and list(indices) in last:
        names = tuple(last_of(context, part, stem) for part in stream.parts)
        stream = replace(stream, parts=names).with_axis(place, "one", 1)
    elif axis in ("stack", "one"):
        stream = stream.picked(place, indices, context.subject)
    else:
        error = UnsupportedError if axis == "time" else AxisOrderError
        raise error(
            f"{context.subject} takes a part of the {axis} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported is the last timestep"
        )
    return stream if keep else stream.without(place)
