"""Inverses of wide integers: normalised, looked up, and shifted into place."""

from dataclasses import dataclass

import numpy as np

from .fixed import Format, half_unit
from .pwl import PiecewiseLinear
from .pwl_uniform import fit

__all__ = ["INVERSES", "MANTISSA", "FixedInverse", "fit_inverse", "inverse"]

INVERSES = ("root", "reciprocal")
MANTISSA = Format(16, 15)
RESULT = Format(18, 16)
SEGMENTS = 256


def inverse(function: str, values: np.ndarray, epsilon: float) -> np.ndarray:
    """In float64: 1 / sqrt(x + epsilon), or 1 / (x + epsilon); 0 where x is not positive."""
    there = values > 0
    found: np.ndarray = np.where(there, values + epsilon, 1.0) ** power_of(function)
    return np.where(there, found, 0.0)


def power_of(function: str) -> float:
    return {"root": -0.5, "reciprocal": -1.0}[function]


def fit_inverse(function: str) -> PiecewiseLinear:
    """The table of a mantissa's inverse, to about a unit of 16 bits."""
    return fit(f"inverse_{function}", MANTISSA, RESULT, segments=SEGMENTS)


@dataclass(frozen=True)
class FixedInverse:
    """An inverse of integers.

    With e the value and its epsilon, and e = m 2^k for m in [1, 2), the result is a table's: of
    1 / m times 2^-k, or of 1 / sqrt(m), or for an odd k of 1 / sqrt(2 m), times 2^-floor(k / 2).
    The mantissa's fraction is cut off to 15 bits.

    Parameters
    ----------
    function : str
        ``root`` or ``reciprocal``.
    source, target : Format
        Of value and result.
    epsilon : int
        In units of the source; at least 0.
    table : PiecewiseLinear
        Of the mantissa: below zero is m - 2 of an even k, from zero on m - 1 of an odd one.
    """

    function: str
    source: Format
    target: Format
    epsilon: int
    table: PiecewiseLinear

    @property
    def width(self) -> int:
        """Bits of the value and its epsilon, which are not negative."""
        return max(self.source.max + self.epsilon, 1).bit_length()

    def shift(self, exponent: int) -> int:
        """Right shift of a table's result for a leading bit at ``exponent``; may be negative.

        Longer ones than these leave nothing, or saturate, all the same.
        """
        k = exponent - self.source.frac
        power = k // 2 if self.function == "root" else k
        shift = self.table.target.frac - self.target.frac + power
        return min(max(shift, -self.target.width), self.table.target.width + 1)

    def odd(self, exponent: int) -> bool:
        """Whether the mantissa is doubled."""
        return self.function == "root" and bool((exponent - self.source.frac) & 1)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Integers of the target for int64 values of the source, of the same shape."""
        values = np.asarray(values, dtype=np.int64)
        found = np.zeros(values.shape, dtype=np.int64)
        sums = np.maximum(values, 0) + self.epsilon
        for exponent in range(self.width):
            here = (values > 0) & (sums >> exponent == 1)
            if not here.any():
                continue
            near = MANTISSA.frac - exponent
            fraction = sums[here] << near if near >= 0 else sums[here] >> -near
            code = fraction & ((1 << MANTISSA.frac) - 1)
            if not self.odd(exponent):
                code = code - (1 << MANTISSA.frac)
            result = self.table(code)
            shift = self.shift(exponent)
            result = (result + half_unit(shift)) >> shift if shift > 0 else result << -shift
            found[here] = np.minimum(result, self.target.max)
        return found
