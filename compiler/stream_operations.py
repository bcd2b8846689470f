"""Operations on tensors of streams, the same for every front end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .axes import PLANES, AxisOrderError, axes_text
from .builder import Builder
from .errors import UnsupportedError
from .followers import Activated, Follower, Normed, Scaled
from .functions import Function, function_of
from .network import ArgMax, Concatenate, Embedding, LastStep, Layer, Pool, Sum, Window
from .reshape import reshape
from .tensors import Probabilities, Size, Stream

__all__ = [
    "Context",
    "activate",
    "add",
    "along_features",
    "arg_max",
    "concatenate",
    "convolve",
    "directions",
    "embed",
    "flip",
    "follow",
    "last_of",
    "multiply",
    "normalise",
    "pool",
    "probabilities",
    "reshape_stream",
    "scale",
    "take",
]


@dataclass(frozen=True)
class Context:
    """An operation of a model's graph that is followed.

    Parameters
    ----------
    subject : str
        The operation as sentences call it.
    stem : str
        What its layers are called.
    builder : Builder
        Takes the layers.
    """

    subject: str
    stem: str
    builder: Builder

    def fresh(self, suffix: str = "") -> str:
        return self.builder.fresh(self.stem + suffix)

    def stream(self, value: Any) -> Stream:
        """The value, which has to be computed from the input and to have one part."""
        if isinstance(value, Probabilities):
            raise UnsupportedError(f"{self.subject} reads {value.text}")
        if not isinstance(value, Stream):
            raise self.refusal("applies to a constant", "a tensor that is computed from the input")
        if len(value.parts) > 1:
            raise self.refusal(
                f"reads a tensor with axes {axes_text(value.axes)}",
                "one direction's or one layer's",
            )
        return value

    def axis_error(self, stream: Stream, supported: str) -> AxisOrderError:
        return AxisOrderError(
            f"{self.subject} reads a tensor with axes {axes_text(stream.axes)}; supported is "
            f"{supported}"
        )

    def refusal(self, does: str, supported: str) -> UnsupportedError:
        return UnsupportedError(f"{self.subject} {does}; supported is {supported}")


def directions(
    context: Context, source: str, layers: Sequence[Layer], backward: Sequence[bool]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A layer's directions on one stream: outputs, and the streams that end with its final states.

    Parameters
    ----------
    layers : sequence of Layer
        One for each direction, without sources.
    backward : sequence of bool
        Whether it walks the sequence from its end.
    """
    builder, outputs, ends = context.builder, [], []
    for layer, mirrored in zip(layers, backward, strict=True):
        before = source
        if mirrored:
            before = builder.reverse(f"{layer.name}.before", source, context.subject)
        name = builder.cell(layer.name, layer, before)
        ends.append(name)
        if mirrored:
            name = builder.reverse(f"{layer.name}.after", name, context.subject)
        outputs.append(name)
    return tuple(outputs), tuple(ends)


def last_of(context: Context, name: str, stem: str) -> str:
    """The last timestep of a stream."""
    return context.builder.add(LastStep(context.builder.fresh(stem), sources=(name,)))


def multiply(context: Context, stream: Stream, weights: np.ndarray, bias: np.ndarray) -> Stream:
    """Weights (outputs, inputs) and a bias (outputs,) on the features, the last axis."""
    if stream.axes[-1] == PLANES:
        if weights.shape[1] != stream.feature_count:
            raise context.refusal(
                f"reads {weights.shape[1]} of {stream.feature_count} elements", "all of them"
            )
        planes = weights.reshape((len(weights), *stream.frame))
        weights = np.moveaxis(planes, 1, 3).reshape(len(weights), -1)
        stream = stream.with_axis(len(stream.axes) - 1, "features", weights.shape[1])
    if stream.axes[-1] != "features":
        raise AxisOrderError(
            f"{context.subject} reads the {stream.axes[-1]} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported are the features, as the last axis"
        )
    (source,) = stream.parts
    name = context.builder.linear(context.stem, source, weights, bias)
    return stream.with_features(name, len(weights))


def convolve(
    context: Context,
    stream: Stream,
    kernel: np.ndarray,
    bias: np.ndarray,
    stride: int = 1,
    dilation: int = 1,
    padding: tuple[int, int] = (0, 0),
) -> Stream:
    """A convolution over time of (batch, features, time): a window and a linear layer.

    ``kernel`` is (outputs, inputs, taps), ``padding`` zeros before and after a sequence.
    """
    outputs, inputs, taps = kernel.shape
    plain = (taps, stride, *padding) == (1, 1, 0, 0)
    axes = ("batch", "features", "time")
    if stream.axes != axes and not (plain and stream.axes == (*axes[:2], "one")):
        raise context.axis_error(stream, axes_text(axes))
    (source,) = stream.parts
    if not plain:
        window = Window(
            context.fresh(".window"), taps, stride, dilation, padding, sources=(source,)
        )
        source = context.builder.add(window)
        length = context.builder.length(source)
        stream = stream.with_axis(2, "time", _steps(stream.sizes[2], window, length.windows))
    weights = kernel.transpose(0, 2, 1).reshape(outputs, taps * inputs)
    name = context.builder.linear(context.stem, source, weights, bias)
    return stream.with_features(name, outputs)


def _steps(before: Size, window: Window, windows: Sequence[tuple[int, int]]) -> Size:
    """Timesteps behind a window; equal names of lengths that are not known are equal lengths."""
    if isinstance(before, int):
        return (before - window.lost - 1) // window.stride + 1
    return "time" + "".join(f"-{lost + 1}//{stride}+1" for lost, stride in windows)


def add(context: Context, streams: Sequence[Stream]) -> Stream:
    """Element-wise sum of tensors of one shape."""
    first = streams[0]
    for other in streams[1:]:
        if not first.same_shape(other):
            raise context.refusal(
                f"adds tensors with axes {axes_text(first.axes)} of lengths {first.lengths} and "
                f"{axes_text(other.axes)} of lengths {other.lengths}",
                "a sum of equal ones",
            )
    parts = tuple(
        context.builder.add(Sum(context.fresh(), sources=sources))
        for sources in zip(*(stream.parts for stream in streams), strict=True)
    )
    known = next((stream for stream in streams if isinstance(stream.feature_count, int)), first)
    return replace(known, parts=parts)


def scale(context: Context, stream: Stream, scale: np.ndarray, shift: np.ndarray) -> Stream:
    """Every feature times a number, plus another; of one element, the same for all."""
    size = stream.feature_count
    count = size if isinstance(size, int) else max(scale.size, shift.size)
    if any(values.size not in (1, count) for values in (scale, shift)):
        raise context.refusal(
            f"has {max(scale.size, shift.size)} constants for {count} features", "one for each"
        )
    if not isinstance(size, int) and count == 1:
        raise follows_input(context)
    both = (np.broadcast_to(values.ravel(), (count,)) for values in (scale, shift))
    return follow(context, stream, Scaled(*both), count)


def along_features(context: Context, stream: Stream, value: np.ndarray) -> np.ndarray:
    """A constant that is the same for every timestep and sequence: float64, one or a feature's."""
    behind = stream.axes[::-1].index("features") if "features" in stream.axes else 0
    own = value.ndim - 1 - behind
    along = "features" in stream.axes and own >= 0 and value.shape[own] == value.size
    if value.size > 1 and not along:
        raise context.refusal(
            f"has a constant of shape {value.shape} for a tensor with axes "
            f"{axes_text(stream.axes)}",
            "one number for each feature",
        )
    return value.astype(np.float64).ravel()


def activate(context: Context, stream: Stream, function: Function | str) -> Stream:
    """``function`` of every element, or the one of that name in :mod:`.functions`."""
    function = function_of(function) if isinstance(function, str) else function
    size = stream.feature_count
    return follow(context, stream, Activated(function), size if isinstance(size, int) else None)


def follow(context: Context, stream: Stream, follower: Follower, size: int | None) -> Stream:
    """Something done to each vector of all parts; ``size`` are its features, if they are known."""
    parts = []
    for part in stream.parts:
        name = context.builder.follow(part, follower, context.stem, size)
        if name is None:
            raise follows_input(context)
        parts.append(name)
    return replace(stream, parts=tuple(parts))


def follows_input(context: Context) -> UnsupportedError:
    return context.refusal("follows the input", "it after a layer")


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


def pool(context: Context, stream: Stream, axis: int, function: str, keep: bool) -> Stream:
    """Mean or largest value over time; axes that are one long come and go."""
    place = stream.place(axis, context.subject)
    if stream.axes[place] == "time":
        parts = tuple(
            context.builder.add(Pool(context.fresh(), function, sources=(part,)))
            for part in stream.parts
        )
        stream = replace(stream, parts=parts)
    elif stream.axes[place] != "one":
        raise AxisOrderError(
            f"{context.subject} reduces the {stream.axes[place]} axis; supported is time"
        )
    return stream.with_axis(place, "one", 1) if keep else stream.without(place)


def arg_max(context: Context, stream: Stream, axis: int, keep: bool) -> Stream:
    """Index of the largest feature."""
    place = stream.place(axis, context.subject)
    if stream.axes[place] != "features":
        raise AxisOrderError(
            f"{context.subject} searches the {stream.axes[place]} axis; supported are features"
        )
    name = context.builder.add(ArgMax(context.fresh(), sources=stream.parts))
    stream = stream.with_axis(place, "one", 1) if keep else stream.without(place)
    return replace(stream, parts=(name,))


def probabilities(context: Context, stream: Stream, axis: int) -> Probabilities:
    """Softmax of the features."""
    name = stream.axes[stream.place(axis, context.subject)]
    if name != "features":
        raise AxisOrderError(
            f"{context.subject} runs over the {name} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported are features, before argmax"
        )
    return Probabilities(context.subject, stream)


def normalise(
    context: Context, stream: Stream, gain: np.ndarray, bias: np.ndarray, epsilon: float
) -> Stream:
    """Layer normalisation of the features, the last axis."""
    if stream.axes[-1] != "features":
        raise context.axis_error(stream, "the features, as the last axis")
    count = stream.feature_count
    if isinstance(count, int) and count != len(gain):
        raise context.refusal(f"normalises {len(gain)} of {count} features", "all of them")
    return follow(context, stream, Normed(context.stem, gain, bias, epsilon), len(gain))


def embed(context: Context, stream: Stream, table: np.ndarray) -> Stream:
    """Rows of a table (entries, features) by indices, which have no features."""
    if "features" in stream.axes:
        raise AxisOrderError(
            f"{context.subject} looks up numbers with axes {axes_text(stream.axes)}; supported "
            f"are indices without features"
        )
    name = context.builder.add(Embedding(context.fresh(), table, sources=stream.parts))
    return Stream((name,), (*stream.axes, "features"), (*stream.sizes, table.shape[1]))


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
