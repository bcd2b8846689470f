"""What is done to every vector of a stream, the same for every front end."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..axes import AxisOrderError, axes_text
from ..errors import UnsupportedError
from ..functions import Function, function_of
from ..network import Sum
from .followers import Activated, Follower, Normed, Scaled
from .stream_context import Context
from .tensors import Probabilities, Stream

__all__ = [
    "activate",
    "add",
    "along_features",
    "follow",
    "known",
    "normalise",
    "probabilities",
    "scale",
]


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


def known(subject: str, name: Callable[[], str]) -> Function:
    """The function of that name, with parameters that are supported."""
    try:
        return function_of(name())
    except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnsupportedError(f"{subject} has unsupported parameters: {reason}") from None


def activate(context: Context, stream: Stream, function: Function | str) -> Stream:
    """``function`` of every element, or the one of that name in :mod:`.functions`."""
    function = function_of(function) if isinstance(function, str) else function
    size = stream.feature_count
    return follow(context, stream, Activated(function), size if isinstance(size, int) else None)


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


def probabilities(context: Context, stream: Stream, axis: int) -> Probabilities:
    """Softmax of the features."""
    name = stream.axes[stream.place(axis, context.subject)]
    if name != "features":
        raise AxisOrderError(
            f"{context.subject} runs over the {name} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported are features, before argmax"
        )
    return Probabilities(context.subject, stream)


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
