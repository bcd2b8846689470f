"""What a tensor of a model's graph stands for, in every front end: streams and their axes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ..axes import FRAME, PLANES, AxisOrderError, axes_text
from ..errors import UnsupportedError
from ..wiring import INPUT

__all__ = ["Probabilities", "Size", "Stream", "time_of"]

Size = int | str
"""Length of an axis: a number, or a name where the model leaves it open."""


def time_of(root: str) -> str:
    """How many timesteps an input has, where the model leaves that open."""
    return "time" if root == INPUT else f"time of the {root}"


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
        Frames have ``channels``, ``rows`` and ``columns`` instead of features, or ``planes``.
    sizes : tuple of int or str
        Length of every axis.
    frame : tuple of int, optional
        Channels, rows and columns of a tensor with ``planes``.
    """

    parts: tuple[str, ...]
    axes: tuple[str, ...]
    sizes: tuple[Size, ...]
    frame: tuple[int, ...] = ()

    def place(self, axis: int, subject: str) -> int:
        """An axis as the model numbers it, from the left."""
        if not -len(self.axes) <= axis < len(self.axes):
            raise UnsupportedError(f"{subject} names axis {axis} of {len(self.axes)}")
        return axis % len(self.axes)

    def size(self, axis: str) -> Size:
        return self.sizes[self.axes.index(axis)]

    @property
    def feature_count(self) -> Size:
        """Length of the axis of features; a name where it is not known, or not there."""
        lengths = [self.size(axis) for axis in ("features", *FRAME, PLANES) if axis in self.axes]
        known = [length for length in lengths if isinstance(length, int)]
        return prod(known) if known and len(known) == len(lengths) else "features"

    @property
    def lengths(self) -> str:
        """The lengths as sentences show them."""
        return axes_text(tuple(map(str, self.sizes)))

    def same_shape(self, other: "Stream") -> bool:
        """Whether the tensors have the same axes, and lengths that can be the same.

        The input's features are not known before a layer says how many it takes; the finished
        network is checked for that.
        """
        return self.axes == other.axes and all(
            mine == its
            or (axis == "features" and not (isinstance(mine, int) and isinstance(its, int)))
            for axis, mine, its in zip(self.axes, self.sizes, other.sizes, strict=True)
        )

    def with_features(self, part: str, size: Size) -> "Stream":
        """A tensor whose features another layer gives."""
        place = self.axes.index("features")
        return replace(self.with_axis(place, "features", size), parts=(part,))

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
            if self.sizes[place] != 1 or self.axes[place] == "time":
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


@dataclass(frozen=True)
class Probabilities:
    """Softmax of a stream's features, or its logarithm; only their order can be asked for."""

    subject: str
    stream: Stream

    @property
    def text(self) -> str:
        """What sentences say of it."""
        return (
            f"what {self.subject} gives; supported is argmax of the features, for which softmax "
            f"changes nothing and can be left out"
        )
