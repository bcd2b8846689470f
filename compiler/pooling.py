"""One vector a sequence: what each feature does over all timesteps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .exact import MAX_EXACT
from .fixed import Format
from .stream_layer import MAX_STEPS, MAX_WIDTH, StreamLayer, is_count, require

__all__ = ["Pool"]


@dataclass(frozen=True)
class Pool(StreamLayer):
    """One vector a sequence: mean or largest value of each feature over all timesteps.

    In integers a mean is rounded once, half up, from the exact sum: that of ``n`` values, whose
    unit is ``2**shift`` times that of the result, is ``floor(sum * 2**shift / n + 1/2)``. It
    saturates.

    Parameters
    ----------
    function : str
        ``"mean"`` or ``"max"``.
    max_steps : int
        Timesteps of the longest sequence that there is a mean of; a largest value has no limit.
    format : Format, optional
        Of a mean, in integers. A largest value keeps the format that it comes in.
    """

    function: str
    max_steps: int = MAX_STEPS
    format: Format | None = None

    @property
    def once(self) -> bool:
        return True

    @property
    def is_mean(self) -> bool:
        return self.function == "mean"

    def check(self) -> None:
        require(
            self.function in ("mean", "max"),
            f"Layer {self.name} must have the function 'mean' or 'max', not {self.function!r}",
        )
        require(
            is_count(self.max_steps, 1, MAX_STEPS),
            f"Layer {self.name} must have max_steps from 1 to {MAX_STEPS}, not {self.max_steps!r}",
        )
        require(
            self.is_mean or (self.format, self.max_steps) == (None, MAX_STEPS),
            f"Layer {self.name} must have neither a format nor max_steps: largest values keep "
            f"theirs and have no limit",
        )

    def shift(self, source: Format) -> int:
        """Fraction bits that a mean has more than the values that it is taken of."""
        assert self.format is not None
        return self.format.frac - source.frac

    def output_format(self, formats: Sequence[Format]) -> Format:
        if not self.is_mean:
            return formats[0]
        require(self.format is not None, f"Layer {self.name} must have a format")
        assert self.format is not None
        source = formats[0]
        require(
            max(self.format.width, source.width) <= MAX_WIDTH and self.format.signed,
            f"Layer {self.name} must have signed formats of at most {MAX_WIDTH} bits, "
            f"not {source} and {self.format}",
        )
        most = MAX_EXACT - source.width - self.max_steps.bit_length()
        require(
            -source.width < self.shift(source) <= most,
            f"Layer {self.name} must have a mean with {1 - source.width} to {most} fraction bits "
            f"more than {source}, not {self.format}",
        )
        return self.format

    def mean(self, sums: np.ndarray, counts: np.ndarray, source: Format) -> np.ndarray:
        """Integers of the format, from exact sums of so many integers of the source's; int64."""
        assert self.format is not None
        shift = self.shift(source)
        twice = sums.astype(np.int64) << (max(shift, 0) + 1)
        steps = np.asarray(counts, dtype=np.int64) << max(-shift, 0)
        return np.clip((twice + steps) // (2 * steps), self.format.min, self.format.max)

    def quotient_bits(self, source: Format) -> int:
        """Bits of a mean before it saturates, in units above the least one."""
        shift = self.shift(source)
        return source.width + shift + int(shift < 0)

    def latency(self, source: Format) -> int:
        """Cycles from asking for a result to having it; a division takes one for each bit."""
        return self.quotient_bits(source) + 3 if self.is_mean else 1
