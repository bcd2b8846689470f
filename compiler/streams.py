"""Stream layers: what happens to vectors between cells, without weights to multiply them with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .exact import MAX_EXACT, MAX_LEFT, MAX_RIGHT
from .fixed import Format, width_for

__all__ = [
    "MAX_STEPS",
    "ArgMax",
    "Concatenate",
    "Embedding",
    "LastStep",
    "Pool",
    "Reverse",
    "StreamLayer",
    "Sum",
    "Window",
]

MAX_STEPS = 1 << 16
"""The most timesteps of a sequence that a layer may have to hold or to count."""

MAX_WIDTH = 32
"""Bits of the widest sum that leaves a layer, and how far apart the scales of its terms may be."""


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def is_count(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True)
class StreamLayer:
    """A layer that is no cell.

    Parameters
    ----------
    name : str
        Unique within the network.
    sources : tuple of str
        Layers whose outputs it takes; empty: the layer before it. ``"input"`` is the network's
        input.
    """

    name: str
    sources: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def once(self) -> bool:
        """Whether it gives one vector a sequence, whatever the sequence's length."""
        return False

    def check(self) -> None:
        """Raise ``ValueError`` unless its own parameters are usable."""

    def output_size(self, sizes: Sequence[int]) -> int:
        """Features of its output, given those of its sources."""
        return sizes[0]

    def output_format(self, formats: Sequence[Format]) -> Format:
        """Format of its output in integers, given those of its sources."""
        return formats[0]


@dataclass(frozen=True)
class LastStep(StreamLayer):
    """Keeps the last timestep of every sequence and drops the others."""

    @property
    def once(self) -> bool:
        return True


@dataclass(frozen=True)
class Reverse(StreamLayer):
    """Each sequence back to front.

    A bidirectional layer is a cell on a stream, a cell between two of these on the same stream,
    and the :class:`Concatenate` of both.

    Parameters
    ----------
    max_steps : int
        Timesteps of the longest sequence: what the hardware has room for.
    """

    max_steps: int

    def check(self) -> None:
        require(
            is_count(self.max_steps, 1, MAX_STEPS),
            f"Layer {self.name} must have max_steps from 1 to {MAX_STEPS}, not {self.max_steps!r}",
        )


@dataclass(frozen=True)
class Concatenate(StreamLayer):
    """The features of all sources side by side, in their order.

    In integers all sources have one format, so that nothing has to be rounded again.
    """

    def output_size(self, sizes: Sequence[int]) -> int:
        return sum(sizes)

    def output_format(self, formats: Sequence[Format]) -> Format:
        require(
            len(set(formats)) == 1,
            f"Layer {self.name} must have sources of one format, "
            f"not {', '.join(map(str, formats))}",
        )
        return formats[0]


@dataclass(frozen=True)
class Sum(StreamLayer):
    """Element-wise sum of its sources, as a residual connection has it.

    Parameters
    ----------
    format : Format, optional
        Of the output, in integers: the sum is exact and then rounded to it once.
    """

    format: Format | None = None

    def exact_format(self, formats: Sequence[Format]) -> Format:
        """The narrowest format that holds every sum of values of the sources' formats."""
        frac = max(format.frac for format in formats)
        low = sum(format.min << (frac - format.frac) for format in formats)
        high = sum(format.max << (frac - format.frac) for format in formats)
        return Format(width_for(low, high), frac)

    def output_format(self, formats: Sequence[Format]) -> Format:
        require(self.format is not None, f"Layer {self.name} must have a format")
        assert self.format is not None
        spread = max(f.frac for f in formats) - min(f.frac for f in formats)
        require(
            self.format.signed and self.format.width <= MAX_WIDTH,
            f"Layer {self.name} must have a signed format of at most {MAX_WIDTH} bits, "
            f"not {self.format}",
        )
        require(
            spread <= MAX_WIDTH and self.exact_format(formats).width <= MAX_EXACT,
            f"Layer {self.name} must have sources of similar scale, "
            f"not {', '.join(map(str, formats))}",
        )
        shift = max(format.frac for format in formats) - self.format.frac
        require(
            -MAX_LEFT <= shift <= MAX_RIGHT,
            f"Layer {self.name} must shift by at most {MAX_LEFT} to the left and {MAX_RIGHT} to "
            f"the right, not {shift} to the right",
        )
        return self.format

    def output_size(self, sizes: Sequence[int]) -> int:
        require(
            len(set(sizes)) == 1,
            f"Layer {self.name} must have sources of equal size, not {', '.join(map(str, sizes))}",
        )
        return sizes[0]


@dataclass(frozen=True)
class Embedding(StreamLayer):
    """A row of a table for each timestep; takes one feature, the integer index.

    Parameters
    ----------
    table : numpy.ndarray
        Float64 (entries, features).
    """

    table: np.ndarray

    def check(self) -> None:
        require(
            self.table.ndim == 2 and self.table.size > 0,
            f"Layer {self.name} must have a table of shape (entries, features), "
            f"not {self.table.shape}",
        )
        require(
            bool(np.all(np.isfinite(self.table))),
            f"Table of layer {self.name} must be finite; it holds NaN or infinity",
        )

    def output_size(self, sizes: Sequence[int]) -> int:
        require(
            sizes[0] == 1,
            f"Layer {self.name} must take one feature, an index, not {sizes[0]}",
        )
        return int(self.table.shape[1])


@dataclass(frozen=True)
class Window(StreamLayer):
    """Vectors of several timesteps side by side, the oldest first; before a Linear, a Conv1d.

    Output n holds the timesteps ``n * stride - padding[0] + dilation * (0, 1, ... kernel - 1)``,
    zero where there are none; their number is
    ``(time + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1``.

    Parameters
    ----------
    kernel, stride, dilation : int
        As ``torch.nn.Conv1d`` has them.
    padding : tuple of int
        Timesteps of zeros before and after a sequence.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)

    @property
    def lost(self) -> int:
        """How many timesteps fewer than it takes a layer with a stride of 1 gives."""
        return self.dilation * (self.kernel - 1) - sum(self.padding)

    def check(self) -> None:
        for what in ("kernel", "stride", "dilation"):
            value = getattr(self, what)
            require(
                is_count(value, 1, MAX_STEPS),
                f"Layer {self.name} must have a {what} from 1 to {MAX_STEPS}, not {value!r}",
            )
        span = self.dilation * (self.kernel - 1)
        require(
            len(self.padding) == 2 and all(is_count(n, 0, span) for n in self.padding),
            f"Layer {self.name} must have a padding (left, right) of at most {span} timesteps "
            f"each, not {self.padding!r}",
        )

    def output_size(self, sizes: Sequence[int]) -> int:
        return self.kernel * sizes[0]


@dataclass(frozen=True)
class Pool(StreamLayer):
    """One vector a sequence: mean or largest value of each feature over all timesteps.

    Parameters
    ----------
    function : str
        ``"mean"`` or ``"max"``.
    """

    function: str

    @property
    def once(self) -> bool:
        return True

    def check(self) -> None:
        require(
            self.function in ("mean", "max"),
            f"Layer {self.name} must have the function 'mean' or 'max', not {self.function!r}",
        )


@dataclass(frozen=True)
class ArgMax(StreamLayer):
    """Index of the largest feature, the first one of equals, as one integer feature."""

    format: ClassVar[Format] = Format(16, 0)

    def output_size(self, sizes: Sequence[int]) -> int:
        require(
            sizes[0] <= self.format.max + 1,
            f"Layer {self.name} must take at most {self.format.max + 1} features, not {sizes[0]}",
        )
        return 1

    def output_format(self, formats: Sequence[Format]) -> Format:
        return self.format
