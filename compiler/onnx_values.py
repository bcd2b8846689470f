"""What a tensor of an ONNX graph stands for: streams and the order of their axes, or constants."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .axes import AxisOrderError, axes_text
from .errors import UnsupportedError

__all__ = ["Filled", "Size", "Stream", "Value", "index_of"]

Size = int | str
"""Length of an axis: a number, or a name where the file leaves it open."""


@dataclass(frozen=True)
class Filled:
    """A constant tensor with the same value everywhere, of whatever shape."""

    value: float


@dataclass(frozen=True)
class Stream:
    """Outputs of layers as one tensor.

    Parameters
    ----------
    parts : tuple of str
        Layers that give the tensor: one, or as many as the axis ``stack`` is long.
    axes : tuple of str
        ``batch``, ``time``, ``features``; ``stack`` (the parts one after the other, such as the
        two directions of a recurrent layer); any number of ``one``, which are one long. There is
        no ``time`` after a selection of timesteps, and no ``features`` in a tensor of indices.
    sizes : tuple of int or str
        Length of every axis.
    """

    parts: tuple[str, ...]
    axes: tuple[str, ...]
    sizes: tuple[Size, ...]

    def place(self, axis: int, subject: str) -> int:
        """An axis as the file numbers it, from the left."""
        if not -len(self.axes) <= axis < len(self.axes):
            raise UnsupportedError(f"{subject} names axis {axis} of {len(self.axes)}")
        return axis % len(self.axes)

    def size(self, axis: str) -> Size:
        return self.sizes[self.axes.index(axis)]

    def without(self, place: int) -> "Stream":
        return replace(
            self,
            axes=self.axes[:place] + self.axes[place + 1 :],
            sizes=self.sizes[:place] + self.sizes[place + 1 :],
        )

    def with_axis(self, place: int, axis: str, size: Size) -> "Stream":
        """The stream with another axis in that place."""
        return replace(
            self,
            axes=(*self.axes[:place], axis, *self.axes[place + 1 :]),
            sizes=(*self.sizes[:place], size, *self.sizes[place + 1 :]),
        )

    def inserted(self, place: int) -> "Stream":
        """The stream with an axis of length one before that place."""
        return replace(
            self,
            axes=(*self.axes[:place], "one", *self.axes[place:]),
            sizes=(*self.sizes[:place], 1, *self.sizes[place:]),
        )

    def permuted(self, order: Sequence[int], subject: str) -> "Stream":
        if sorted(order) != list(range(len(self.axes))):
            raise UnsupportedError(
                f"{subject} permutes {len(order)} axes of a tensor with axes {axes_text(self.axes)}"
            )
        return replace(
            self,
            axes=tuple(self.axes[place] for place in order),
            sizes=tuple(self.sizes[place] for place in order),
        )

    def squeezed(self, places: Sequence[int] | None, subject: str) -> "Stream":
        """Without the axes in these places, or without all that are one long."""
        if places is None:
            places = [place for place, size in enumerate(self.sizes) if size == 1]
        found = self
        for place in sorted({self.place(axis, subject) for axis in places}, reverse=True):
            if self.sizes[place] != 1 or self.axes[place] in ("time", "features"):
                raise AxisOrderError(
                    f"{subject} drops the {self.axes[place]} axis of a tensor with axes "
                    f"{axes_text(self.axes)}; supported are axes that are one long"
                )
            found = found.without(place)
        return found

    def picked(self, place: int, indices: Sequence[int], subject: str) -> "Stream":
        """Some of the parts of a ``stack``, or the whole of an axis that is one long."""
        count = 1 if self.axes[place] == "one" else len(self.parts)
        if not indices or not all(-count <= index < count for index in indices):
            raise UnsupportedError(f"{subject} selects {list(indices)} of {count} tensors")
        if self.axes[place] == "one":
            if len(indices) > 1:
                raise UnsupportedError(f"{subject} repeats a tensor; supported is one of it")
            return self
        parts = tuple(self.parts[index] for index in indices)
        axis = "stack" if len(parts) > 1 else "one"
        return replace(self.with_axis(place, axis, len(parts)), parts=parts)


Value = np.ndarray | Filled | Stream
"""Constants may hold names among their numbers where they are lengths that the file leaves open."""


def index_of(value: object, what: str, subject: str) -> list[int]:
    """A constant of whole numbers, flat."""
    if not isinstance(value, np.ndarray) or not all(
        isinstance(number, int) for number in value.ravel().tolist()
    ):
        raise UnsupportedError(f"{subject} has computed {what}; supported are constants")
    return [int(number) for number in value.ravel().tolist()]
