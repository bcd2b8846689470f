"""Tables of functions that are piecewise linear themselves: their own pieces, and no more."""

from functools import lru_cache

import numpy as np

from .fixed import Format, half_unit, width_for
from .functions import Function, function_of
from .pwl import MAX_SLOPE, MAX_WORD, PiecewiseLinear
from .pwl_uniform import table_of

__all__ = ["fit_corners"]


@lru_cache(maxsize=256)
def fit_corners(function: Function | str, source: Format, target: Format) -> PiecewiseLinear:
    """The table whose knots are a function's corners.

    A line's slope and height are rounded to as many fraction bits as they need to be exact, or
    else as their widths allow; where a line leaves the target, a flat one goes on.

    Parameters
    ----------
    function : Function or str
        One with :attr:`~deltaloom.compiler.functions.Function.corners`, or its name.
    source, target : Format
        Signed formats of input and output.
    """
    function = function_of(function) if isinstance(function, str) else function
    if function.corners is None:
        raise ValueError(f"Function must be piecewise linear itself, which {function.name} is not")
    ends = corner_codes(function, source)
    lines = [line_between(function, first, last, source, target) for first, last in ends]
    shift = least_shift(lines, source, target)
    base, slope, starts = [], [], []
    for (first, last), (height, rise) in zip(ends, lines, strict=True):
        own = int(np.rint(rise * 2.0**shift))
        start = int(np.floor(height * 2.0**shift + 0.5)) + half_unit(shift)
        codes = np.arange(first, last + 1)
        results = (start + own * codes) >> shift
        cuts = [(results < target.min, target.min), (results > target.max, target.max)]
        pieces = [(codes[(target.min <= results) & (results <= target.max)], start, own)]
        pieces += [(codes[cut], end << shift, 0) for cut, end in cuts]
        for reached, piece_base, piece_slope in sorted(
            ((part.tolist(), b, s) for part, b, s in pieces if len(part)), key=lambda p: p[0][0]
        ):
            base.append(piece_base)
            slope.append(piece_slope)
            starts.append(reached[0])
    arrays = [np.array(values, dtype=np.int64) for values in (base, slope, starts[1:])]
    for array in arrays:
        array.flags.writeable = False
    base_array, slope_array, knots = arrays
    return table_of(function, source, target, base_array, slope_array, shift, knots)


def corner_codes(function: Function, source: Format) -> list[tuple[int, int]]:
    """First and last input code of each piece that the source has."""
    assert function.corners is not None
    starts = [source.min]
    for corner in function.corners:
        code = int(np.clip(np.ceil(corner * 2.0**source.frac), source.min, source.max + 1))
        if starts[-1] < code <= source.max:
            starts.append(code)
    return list(zip(starts, [*(start - 1 for start in starts[1:]), source.max], strict=True))


def line_between(
    function: Function, first: int, last: int, source: Format, target: Format
) -> tuple[float, float]:
    """Height at code 0, in target units, and rise a code, of the line through a piece's ends."""
    low, high = function(source.dequantize(np.array([first, last]))) * 2.0**target.frac
    rise = (high - low) / (last - first) if last > first else 0.0
    return float(low - rise * first), float(rise)


def least_shift(lines: list[tuple[float, float]], source: Format, target: Format) -> int:
    """Fraction bits beyond the target's that make every line exact, or the most that fit."""
    fitting = 0
    for shift in range(MAX_WORD - target.width + 1):
        scaled = np.array(lines) * 2.0**shift
        height, rise = np.rint(scaled).astype(np.int64).T
        widths = [width_for(int(v.min()) - 1, int(v.max()) + 1) for v in (height, rise)]
        if widths[0] > MAX_WORD - 1 or widths[1] > MAX_SLOPE:
            break
        fitting = shift
        if np.array_equal(scaled, np.rint(scaled)):
            break
    return fitting
