"""Which power-of-two range stands for a set of values."""

import math

import numpy as np

from .errors import DeltaloomError
from .fixed import Format

__all__ = ["CANDIDATES", "MAX_FRAC", "covering_format", "least_squares_format", "limited_format"]

MAX_FRAC = 64
"""Fraction bits lie within this of zero; values below 2**-MAX_FRAC count as zero."""

CANDIDATES = (0, 1, 2, 3, 4, 5, 6, 7, 8, -1)
"""Fraction bits beyond those of the covering format, in order of preference."""


def covering_format(low: float, high: float, width: int, what: str) -> Format:
    """The finest format of ``width`` bits whose range [-2**k, 2**k) covers [low, high].

    A value in the topmost step is stored as the largest code, an error of less than one step.
    ``what`` names the values in the error raised if no format does.
    """
    if low == high == 0:
        return Format(width, width - 1)
    above = math.frexp(high)[1] if high > 0 else -(1 << 20)
    mantissa, below = math.frexp(low) if low < 0 else (0.0, -(1 << 20))
    if mantissa == -0.5:
        below -= 1
    frac = width - 1 - max(above, below)
    if frac < -MAX_FRAC:
        raise DeltaloomError(
            f"{what} must be below 2**{width - 1 + MAX_FRAC}, not {max(high, -low):.3g}"
        )
    return Format(width, min(frac, MAX_FRAC))


def limited_format(limit: float, width: int) -> Format:
    """The finest format of ``width`` bits whose range [-2**k, 2**k) reaches a limit."""
    return Format(width, width - 1 - math.ceil(math.log2(limit)))


def least_squares_format(
    values: np.ndarray, counts: np.ndarray | None, width: int, what: str
) -> Format:
    """The format of ``width`` bits with the least mean squared error of rounding and clipping.

    Parameters
    ----------
    values : numpy.ndarray
        Real values (n,).
    counts : numpy.ndarray, optional
        How often each occurs (n,); once if left out.
    width : int
        Bits.
    what : str
        Names the values in an error.

    Notes
    -----
    Clipping by mean squared error as in Rezk et al. 2022, over power-of-two ranges.
    """
    covering = covering_format(float(values.min()), float(values.max()), width, what)
    weight = np.ones(len(values)) if counts is None else counts
    candidates = [Format(width, min(covering.frac + more, MAX_FRAC)) for more in CANDIDATES]
    errors = [
        float(weight @ (values - format.dequantize(format.quantize(values))) ** 2)
        for format in candidates
    ]
    return candidates[int(np.argmin(errors))]
