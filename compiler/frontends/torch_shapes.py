"""Functions of torch and methods of tensors that move a stream's elements, or nothing at all."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import UnsupportedError
from .stream_context import Context
from .stream_moves import reshape_stream, take
from .tensors import Size, Stream
from .torch_indexing import LAST_STEP, index_stream, select
from .torch_states import STATES
from .torch_values import InitialState, Largest, as_stream

__all__ = ["SHAPES", "flatten"]


def same(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    return value


def to(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    """``tensor.to``: another device, or another float type."""
    for kind in (*args, *kwargs.values()):
        if isinstance(kind, torch.dtype) and not kind.is_floating_point:
            raise context.refusal(f"casts to {kind}", "a float type")
    return value


def whole(context: Context, value: Any) -> Any:
    """``tensor.long``: of indices."""
    if isinstance(value, Stream) and "features" in value.axes:
        raise context.refusal("rounds numbers to integers", "indices, without features")
    return value


def getitem(context: Context, value: Any, index: Any) -> Any:
    if isinstance(value, tuple) and isinstance(index, int) and -len(value) <= index < len(value):
        return value[index]
    if isinstance(value, Stream):
        return index_stream(context, value, index)
    return index_stream(context, as_stream(value, context.subject), index)


def attribute(context: Context, value: Any, name: str) -> Any:
    match value, name:
        case Stream(sizes=sizes), "shape":
            return sizes
        case _, "device":
            return None
        case _, "dtype":
            return None
        case Stream(axes=axes), "mT":
            last = len(axes) - 1
            return permute(context, value, *range(last - 1), last, last - 1)
        case Largest(), "values" | "indices":
            return getattr(value, name)
    raise UnsupportedError(f"Attribute {name} of a tensor is not supported; supported is shape")


def size(context: Context, value: Stream, dim: int | None = None) -> Any:
    return value.sizes if dim is None else value.sizes[value.place(dim, context.subject)]


def zeros(context: Context, *args: Any, **kwargs: Any) -> InitialState:
    return InitialState()


def permute(context: Context, value: Stream, *dims: Any, **kwargs: Any) -> Stream:
    order = dims or kwargs["dims"]
    places = order[0] if len(order) == 1 and isinstance(order[0], Sequence) else order
    return value.permuted(
        [value.place(place, context.subject) for place in places], context.subject
    )


def transpose(context: Context, value: Stream, dim0: int, dim1: int) -> Stream:
    places = list(range(len(value.axes)))
    places[dim0], places[dim1] = places[dim1], places[dim0]
    return value.permuted(places, context.subject)


def squeeze(context: Context, value: Stream, dim: Any = None) -> Stream:
    if dim is None:
        raise context.refusal("drops all axes that happen to be one long", "axes by number")
    dims = [dim] if isinstance(dim, int) else list(dim)
    kept = [d for d in dims if value.axes[value.place(d, context.subject)] == "stack"]
    if kept:
        raise context.refusal(
            f"keeps the {len(value.parts)} final hidden states of a module", "one of them, [-1]"
        )
    return value.squeezed(dims, context.subject)


def unsqueeze(context: Context, value: Any, dim: int) -> Any:
    if isinstance(value, torch.Tensor):  # a constant
        return value.unsqueeze(dim)
    return value.inserted(dim % (len(value.axes) + 1))


def reshape(context: Context, value: Stream, *shape: Any, **kwargs: Any) -> Any:
    given = shape or (kwargs["shape"],)
    sizes = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    if isinstance(sizes, str) or not all(isinstance(size, int | str) for size in sizes):
        sizes = given
    if isinstance(value, Stream) and value.axes[0] == "stack" and len(sizes) == 4:
        return by_layer(context, value, list(sizes))
    return reshape_stream(context, value, list(sizes), keep_zero=True)


def by_layer(context: Context, value: Stream, shape: list[Size]) -> tuple[Stream, ...]:
    """Final hidden states as (layers, directions, batch, features): a stack for each layer."""
    layers, ways, *rest = shape
    fits = isinstance(layers, int) and isinstance(ways, int) and layers * ways == len(value.parts)
    if not fits or any(n not in (-1, size) for n, size in zip(rest, value.sizes[1:], strict=True)):
        raise context.refusal(
            f"gives final hidden states of {value.lengths} the shape {tuple(shape)}",
            "(layers, directions, batch, features)",
        )
    assert isinstance(layers, int)
    assert isinstance(ways, int)
    return tuple(
        take(context, value, 0, range(first, first + ways), True, LAST_STEP)
        for first in range(0, layers * ways, ways)
    )


def flatten(context: Context, value: Stream, start_dim: int = 0, end_dim: int = -1) -> Stream:
    start, end = (value.place(dim, context.subject) for dim in (start_dim, end_dim))
    shape: list[Size] = [*value.sizes[:start], -1, *value.sizes[end + 1 :]]
    return reshape_stream(context, value, shape, keep_zero=True)


SHAPES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("contiguous", "clone", "detach", "float", "double", "cuda", "cpu"), same),
    **dict.fromkeys(("long", "int"), whole),
    **dict.fromkeys(("zeros", "new_zeros"), zeros),
    **dict.fromkeys(("reshape", "view"), reshape),
    **STATES,
    **dict.fromkeys(("transpose", "swapaxes"), transpose),
    "dim": lambda context, value: len(value.axes),
    "flatten": flatten,
    "getattr": attribute,
    "getitem": getitem,
    "permute": permute,
    "select": select,
    "size": size,
    "squeeze": squeeze,
    "to": to,
    "unsqueeze": unsqueeze,
}
"""By name: what takes the context, the tensor, and the arguments of the function or method."""
