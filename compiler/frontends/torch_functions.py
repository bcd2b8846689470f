"""Functions of torch and methods of tensors on streams, by name."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..errors import UnsupportedError
from .stream_context import Context
from .stream_elementwise import add, along_features, probabilities, scale
from .stream_moves import concatenate, flip
from .stream_operations import arg_max, pool
from .tensors import Probabilities, Stream
from .torch_activations import ACTIVATION_CALLS, ACTIVATION_HANDLERS
from .torch_arrays import as_array
from .torch_attention import scaled_dot_product_attention
from .torch_shapes import SHAPES
from .torch_values import Largest, Nothing, as_stream

__all__ = ["FUNCTIONS", "HANDLERS", "INPLACE", "softmax"]

FUNCTIONS: dict[Any, str] = {  # by the name of the tensor method that does the same, if any
    **ACTIVATION_CALLS,
    functional.adaptive_avg_pool1d: "adaptive_avg_pool1d",
    functional.adaptive_max_pool1d: "adaptive_max_pool1d",
    functional.dropout: "dropout",
    functional.linear: "linear",
    functional.log_softmax: "softmax",
    functional.scaled_dot_product_attention: "scaled_dot_product_attention",
    functional.softmax: "softmax",
    getattr: "getattr",
    operator.add: "add",
    operator.getitem: "getitem",
    operator.iadd: "add_",
    operator.matmul: "matmul",
    operator.mul: "mul",
    operator.neg: "neg",
    operator.sub: "sub",
    operator.truediv: "div",
    torch.adaptive_avg_pool1d: "adaptive_avg_pool1d",
    torch.add: "add",
    torch.amax: "amax",
    torch.argmax: "argmax",
    torch.bmm: "bmm",
    torch.cat: "cat",
    torch.concat: "cat",
    torch.concatenate: "cat",
    torch.div: "div",
    torch.flatten: "flatten",
    torch.flip: "flip",
    torch.log_softmax: "softmax",
    torch.matmul: "matmul",
    torch.max: "max",
    torch.mean: "mean",
    torch.mul: "mul",
    torch.neg: "neg",
    torch.permute: "permute",
    torch.reshape: "reshape",
    torch.select: "select",
    torch.softmax: "softmax",
    torch.squeeze: "squeeze",
    torch.sub: "sub",
    torch.swapaxes: "transpose",
    torch.transpose: "transpose",
    torch.unsqueeze: "unsqueeze",
    torch.zeros: "zeros",
}
INPLACE = ("add_", "relu_", "sigmoid_", "tanh_")
"""Names that change the tensor they are given."""


def dropout(context: Context, value: Any, p: float = 0.5, training: bool = True, **_: Any) -> Any:
    if training and p:
        raise UnsupportedError(
            f"{context.subject} is called with training=True and drops at inference too; "
            f"supported is training=self.training"
        )
    return value


def plus(context: Context, value: Any, other: Any, *, alpha: float = 1) -> Stream:
    return combine(context, value, other, 1.0, float(alpha))


def minus(context: Context, value: Any, other: Any, *, alpha: float = 1) -> Stream:
    return combine(context, value, other, 1.0, -float(alpha))


def combine(context: Context, value: Any, other: Any, first: float, second: float) -> Stream:
    """``first * value + second * other``, at least one of them a stream."""
    if not isinstance(value, Stream) and isinstance(other, Stream):
        value, other, first, second = other, value, second, first
    stream = weighted(context, as_stream(value, context.subject), first)
    if is_constant(other):
        shift = second * constant_of(context, stream, other)
        return scale(context, stream, np.ones(1), shift)
    term = weighted(context, as_stream(other, context.subject), second)
    return add(context, [stream, term])


def weighted(context: Context, stream: Stream, factor: float) -> Stream:
    return stream if factor == 1 else scale(context, stream, np.full(1, factor), np.zeros(1))


def times(context: Context, value: Any, other: Any) -> Stream:
    if not isinstance(value, Stream) and isinstance(other, Stream):
        value, other = other, value
    stream = as_stream(value, context.subject)
    if not is_constant(other):
        raise context.refusal("multiplies two computed tensors", "a tensor and a constant")
    return scale(context, stream, constant_of(context, stream, other), np.zeros(1))


def divided(context: Context, value: Any, other: Any) -> Stream:
    stream = as_stream(value, context.subject)
    if not is_constant(other):
        raise context.refusal("divides by a computed tensor", "a constant")
    factor = 1 / constant_of(context, stream, other)
    return scale(context, stream, factor, np.zeros(1))


def negative(context: Context, value: Any) -> Stream:
    return weighted(context, as_stream(value, context.subject), -1.0)


def is_constant(value: Any) -> bool:
    return isinstance(value, int | float | torch.Tensor)


def constant_of(context: Context, stream: Stream, value: Any) -> np.ndarray:
    if not isinstance(value, torch.Tensor):
        return np.full(1, float(value))
    return along_features(context, stream, as_array(value, f"of {context.subject}"))


def cat(context: Context, tensors: Any, dim: int = 0, *, axis: int | None = None) -> Stream:
    streams = [value if isinstance(value, Stream) else as_stream(value, context.subject)
               for value in tensors]  # fmt: skip
    return concatenate(context, streams, dim if axis is None else axis)


def mean(context: Context, value: Any, dim: Any = None, keepdim: bool = False) -> Stream:
    return over_time(context, value, dim, keepdim, "mean")


def amax(context: Context, value: Any, dim: Any = (), keepdim: bool = False) -> Stream:
    return over_time(context, value, dim, keepdim, "max")


def over_time(context: Context, value: Any, dim: Any, keep: bool, function: str) -> Stream:
    stream = as_stream(value, context.subject)
    dims = [dim] if isinstance(dim, int) else list(dim or ())
    if not dims:
        raise context.refusal("reduces all axes", "time, by number")
    for place in sorted({stream.place(d, context.subject) for d in dims}, reverse=True):
        stream = pool(context, stream, place, function, keep)
    return stream


def largest(context: Context, value: Any, dim: Any = None, keepdim: bool = False) -> Largest:
    """``torch.max`` over one axis: values over time, or the index of a feature."""
    stream = as_stream(value, context.subject)
    if not isinstance(dim, int):
        raise context.refusal("compares two tensors or reduces all axes", "one axis, by number")
    if stream.axes[stream.place(dim, context.subject)] == "features":
        indices = arg_max(context, stream, dim, keepdim)
        return Largest(Nothing("the largest feature"), indices)
    values = pool(context, stream, dim, "max", keepdim)
    return Largest(values, Nothing("the timestep of the largest value"))


def argmax(context: Context, value: Any, dim: int | None = None, keepdim: bool = False) -> Stream:
    """``argmax`` of the features; those of softmax are in the same order."""
    if isinstance(value, Probabilities):
        value = value.stream
    stream = as_stream(value, context.subject)
    if dim is None:
        raise context.refusal("searches all axes", "the features, by number")
    return arg_max(context, stream, dim, keepdim)


def flipped(context: Context, value: Any, *dims: Any) -> Stream:
    stream = as_stream(value, context.subject)
    places = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    for place in places:
        stream = flip(context, stream, place)
    return stream


def softmax(context: Context, value: Any, dim: int = -1, **_: Any) -> Probabilities:
    return probabilities(context, as_stream(value, context.subject), dim)


def global_pool(function: str) -> Callable[..., Stream]:
    def handler(context: Context, value: Any, output_size: Any) -> Stream:
        if output_size not in (1, (1,), [1]):
            raise context.refusal(f"has output_size={output_size}", "1, one vector")
        return pool(context, as_stream(value, context.subject), -1, function, keep=True)

    return handler


HANDLERS: dict[str, Callable[..., Any]] = {
    **SHAPES,
    **ACTIVATION_HANDLERS,
    **dict.fromkeys(("add", "add_", "__radd__"), plus),
    **dict.fromkeys(("mul", "__rmul__"), times),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    "adaptive_avg_pool1d": global_pool("mean"),
    "adaptive_max_pool1d": global_pool("max"),
    "amax": amax,
    "argmax": argmax,
    "cat": cat,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "div": divided,
    "dropout": dropout,
    "flip": flipped,
    "max": largest,
    "mean": mean,
    "neg": negative,
    "sub": minus,
}
