"""Reshapes of streams: axes that come, go or merge, while every vector stays what it is."""

from collections.abc import Sequence

from ..axes import PLANES, axes_text
from ..errors import UnsupportedError
from .tensors import Size, Stream

__all__ = ["reshape"]

MAX_AXES = 8
Groups = list[tuple[int, ...]]


def reshape(stream: Stream, shape: Sequence[Size], keep_zero: bool, subject: str) -> Stream:
    """The stream in another shape.

    Axes of length one come and go; those of a frame may become one; ``stack`` and ``features``
    next to each other may become one axis ``stack features``, stack-major: its caller joins the
    parts.

    Parameters
    ----------
    stream : Stream
        What is reshaped.
    shape : sequence of int or str
        Lengths; -1 for what is left, 0 for the same length unless ``keep_zero``.
    """
    sizes = stream.sizes
    if not keep_zero:
        if any(size == 0 and place >= len(sizes) for place, size in enumerate(shape)):
            raise UnsupportedError(f"{subject} copies the length of an axis that is not there")
        shape = [sizes[place] if size == 0 else size for place, size in enumerate(shape)]
    small = max(len(sizes), len(shape)) <= MAX_AXES
    groups = _match(sizes, shape, 0, 0) if small else None
    if groups is None:
        raise _refusal(stream, shape, subject)
    axes: list[str] = []
    frame = stream.frame
    lengths: list[Size] = []
    for group in groups:
        kept = [place for place in group if stream.axes[place] != "one"]
        if len(kept) > 1:
            kept = [
                place
                for place in kept
                if sizes[place] != 1 or stream.axes[place] not in ("batch", "features")
            ]
        names = [stream.axes[place] for place in kept]
        match names:
            case []:
                axes.append("one")
                lengths.append(1)
            case [name]:
                axes.append(name)
                lengths.append(sizes[kept[0]])
            case ["channels", "rows", "columns"]:
                axes.append(PLANES)
                frame = tuple(size for p in kept if isinstance(size := sizes[p], int))
                lengths.append(_product(frame))
            case ["rows", "columns", "channels"]:  # the vector's own order
                axes.append("features")
                lengths.append(_product([sizes[place] for place in kept]))
            case ["stack", "features"]:
                axes.append("stack features")
                lengths.append(_product([sizes[place] for place in kept]))
            case _:
                raise _refusal(stream, shape, subject)
    dropped = set(range(len(sizes))) - {place for group in groups for place in group}
    if not {stream.axes[place] for place in dropped} <= {"batch", "features", "one"}:
        raise _refusal(stream, shape, subject)
    return Stream(stream.parts, tuple(axes), tuple(lengths), frame)


def _match(sizes: Sequence[Size], shape: Sequence[Size], at: int, to: int) -> Groups | None:
    """Which of the old axes make up each new one; old axes in no group are one long."""
    if to == len(shape):
        return [] if all(size == 1 for size in sizes[at:]) else None
    ends = list(range(at + 1, len(sizes) + 1))
    for end in [*reversed(ends), at] if shape[to] == -1 else [*ends, at]:
        if shape[to] in (-1, _product(sizes[at:end])):
            rest = _match(sizes, shape, end, to + 1)
            if rest is not None:
                return [tuple(range(at, end)), *rest]
    return _match(sizes, shape, at + 1, to) if at < len(sizes) and sizes[at] == 1 else None


def _product(sizes: Sequence[Size]) -> Size:
    names = [size for size in sizes if isinstance(size, str)]
    number = 1
    for size in sizes:
        number *= size if isinstance(size, int) else 1
    return "*".join([*names, str(number)] if number > 1 else names) if names else number


def _refusal(stream: Stream, shape: Sequence[Size], subject: str) -> UnsupportedError:
    return UnsupportedError(
        f"{subject} gives a tensor with axes {axes_text(stream.axes)} and lengths "
        f"{axes_text(tuple(map(str, stream.sizes)))} the shape "
        f"{axes_text(tuple(map(str, shape)))}; supported are axes of length one that come and go, "
        f"and directions joined to features"
    )
