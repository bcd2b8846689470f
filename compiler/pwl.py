"""Piecewise-linear activation tables with uniform segments."""

from dataclasses import dataclass

import numpy as np

from .fixed import Format

__all__ = ["PiecewiseLinear"]


@dataclass(frozen=True)
class PiecewiseLinear:
    """An activation as ``(base[segment] + slope[segment] * offset) >> shift``.

    The segment is the upper bits of the input (two's complement order), the offset its lower
    bits, unsigned. The rounding constant is part of ``base``, and no input leaves ``target``.

    Parameters
    ----------
    function : str
        ``sigmoid`` or ``tanh``.
    source, target : Format
        Of input and output.
    base, slope : numpy.ndarray
        Int64, one of each a segment; their number is a power of two.
    shift : int
        Fraction bits of base and slope beyond the target's.
    """

    function: str
    source: Format
    target: Format
    base: np.ndarray
    slope: np.ndarray
    shift: int

    @property
    def segment_bits(self) -> int:
        return len(self.base).bit_length() - 1

    @property
    def offset_bits(self) -> int:
        return self.source.width - self.segment_bits

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Target integers of source integers; int64 of the same shape."""
        values = np.asarray(values, dtype=np.int64)
        segment = (values >> self.offset_bits) & (len(self.base) - 1)
        offset = values & ((1 << self.offset_bits) - 1)
        return (self.base[segment] + self.slope[segment] * offset) >> self.shift

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PiecewiseLinear)
            and (self.function, self.source, self.target, self.shift)
            == (other.function, other.source, other.target, other.shift)
            and np.array_equal(self.base, other.base)
            and np.array_equal(self.slope, other.slope)
        )

    __hash__ = None  # type: ignore[assignment]
