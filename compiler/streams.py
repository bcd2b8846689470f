"""Stream layers: what happens to vectors between cells, without weights to multiply them with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .embedding import Embedding
from .exact import MAX_EXACT, MAX_LEFT, MAX_RIGHT
from .fixed import Format, width_for
from .pooling import Pool
from .stream_layer import MAX_STEPS, MAX_WIDTH, StreamLayer, is_count, require
from .window import Window

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
