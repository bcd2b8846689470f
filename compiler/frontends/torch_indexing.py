"""Indices of torch tensors that stand for streams."""

from typing import Any

from ..axes import axes_text
from ..errors import UnsupportedError
from .stream_context import Context
from .stream_moves import take
from .tensors import Stream

__all__ = ["LAST_STEP", "index_stream", "select"]

LAST_STEP = "last_step"
"""What selections of the last timestep are called."""


def index_stream(context: Context, stream: Stream, index: Any) -> Stream:
    """``tensor[index]``: whole axes, new ones, the last timestep, layers of a stack."""
    found, place = stream, 0
    for item in _expand(index, len(stream.axes)):
        if item is None:
            found = found.inserted(place)
        elif item != slice(None):
            found = _pick(context, found, place, item, index)
        place += not isinstance(item, int)
    return found


def select(context: Context, stream: Stream, dim: int, index: Any) -> Stream:
    """``tensor.select(dim, index)``."""
    items: list[Any] = [slice(None)] * len(stream.axes)
    items[dim] = index
    return index_stream(context, stream, tuple(items))


def _pick(context: Context, stream: Stream, place: int, item: Any, index: Any) -> Stream:
    axis, size = stream.axes[place], stream.sizes[place]
    keep = isinstance(item, slice)
    if axis in ("stack", "one"):
        assert isinstance(size, int)
        indices = list(range(size)[item]) if keep else [item]
        return take(context, stream, place, indices, keep, LAST_STEP)
    if axis != "time":
        hint = f"; the last timestep is {_last_step(stream)}" if "time" in stream.axes else ""
        raise UnsupportedError(
            f"Selection {_text(index)} takes a part of the {axis} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported is the last timestep alone{hint}"
        )
    if item not in (-1, slice(-1, None)):
        raise UnsupportedError(
            f"Selection {_text(index)} takes other timesteps than the last; supported is "
            f"{_last_step(stream)}"
        )
    return take(context, stream, place, [-1], keep, LAST_STEP)


def _last_step(stream: Stream) -> str:
    place = stream.axes.index("time")
    return f"[{', '.join([':'] * place + ['-1'])}]"


def _expand(index: Any, dimensions: int) -> list[Any]:
    """One item for each dimension, and None for new ones: what a torch index means."""
    items = list(index) if isinstance(index, tuple) else [index]
    count = sum(item is not None and item is not ... for item in items)
    whole = [slice(None)] * (dimensions - count)
    places = [i for i, item in enumerate(items) if item is ...]
    if places:
        items[places[0] : places[0] + 1] = whole
    else:
        items += whole
    if (
        count > dimensions
        or len(places) > 1
        or not all(item is None or type(item) in (int, slice) for item in items)
    ):
        raise UnsupportedError(
            f"Selection {_text(index)} of a tensor with {dimensions} axes is not supported; "
            f"supported are whole axes and the last timestep"
        )
    return items


def _text(index: Any) -> str:
    """The index as it was written, about."""

    def text(item: Any) -> str:
        match item:
            case slice(start=start, stop=stop, step=step):
                written = ":".join("" if i is None else text(i) for i in (start, stop))
                return written if step is None else f"{written}:{text(step)}"
            case int() | str() | None:
                return str(item)
            case _ if item is ...:
                return "..."
        return type(item).__name__.lower()

    items = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(map(text, items))}]"
