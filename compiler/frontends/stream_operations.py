"""Operations on tensors of streams that layers compute, the same for every front end."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..axes import PLANES, AxisOrderError, axes_text
from ..network import ArgMax, Embedding, Layer, Pool, Window
from ..wiring import Length
from .stream_context import Context
from .tensors import Size, Stream, time_of

__all__ = ["arg_max", "convolve", "directions", "embed", "multiply", "pool"]


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
        stream = stream.with_axis(2, "time", _steps(stream.sizes[2], window, length))
    weights = kernel.transpose(0, 2, 1).reshape(outputs, taps * inputs)
    name = context.builder.linear(context.stem, source, weights, bias)
    return stream.with_features(name, outputs)


def _steps(before: Size, window: Window, length: Length) -> Size:
    """Timesteps behind a window; equal names of lengths that are not known are equal lengths."""
    if isinstance(before, int):
        return (before - window.lost - 1) // window.stride + 1
    windows = (f"-{lost + 1}//{stride}+1" for lost, stride in length.windows)
    return time_of(length.root) + "".join(windows)


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


def embed(context: Context, stream: Stream, table: np.ndarray) -> Stream:
    """Rows of a table (entries, features) by indices, which have no features."""
    if "features" in stream.axes:
        raise AxisOrderError(
            f"{context.subject} looks up numbers with axes {axes_text(stream.axes)}; supported "
            f"are indices without features"
        )
    name = context.builder.add(Embedding(context.fresh(), table, sources=stream.parts))
    return Stream((name,), (*stream.axes, "features"), (*stream.sizes, table.shape[1]))
