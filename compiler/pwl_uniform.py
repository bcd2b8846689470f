"""Fits piecewise-linear tables with uniform segments."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from .fixed import Format, width_for
from .functions import FAMILIES, Function, function_of
from .pwl import MAX_SLOPE, MAX_WORD, PiecewiseLinear, worst_error

__all__ = ["check_fit", "fit", "improve", "round_lines", "samples", "table_of"]

WORDS = (32, MAX_WORD)
"""Widths of a word to try: two block RAMs of an iCE40, one of an ECP5."""

MAX_SOURCE = 18
"""Bits of the widest input that is fitted code by code."""

SEARCH = np.linspace(-0.3, 0.3, 13)
"""Where to look for a better base, in units of the target's last place."""

SEARCH_MARGIN = 0.4
"""Segments this much better than the worst one are good enough as they are."""


@lru_cache(maxsize=256)
def fit(
    function: Function | str,
    source: Format,
    target: Format,
    *,
    segments: int | None = None,
    budget: float | None = None,
) -> PiecewiseLinear:
    """Fit the table of ``function`` with the least worst error over every input code.

    Each segment gets its minimax line; its integer base and slope are then searched for the
    smallest error after rounding, with as many fraction bits as a word of :data:`MAX_WORD` bits
    holds.

    Parameters
    ----------
    function : Function or str
        What to fit, or its name.
    source, target : Format
        Signed formats of input (up to 18 bits) and output.
    segments : int, optional
        A power of two, at most one a code.
    budget : float, optional
        Worst error, in units of the target's last place. Instead of ``segments``: the smallest
        power of two that meets it, in the narrowest of :data:`WORDS` that does.
    """
    function = check_fit(function, source, segments, budget)
    if segments is not None:
        if segments < 1 or segments & (segments - 1) or segments > 1 << source.width:
            raise ValueError(
                f"Segments must be a power of two up to {1 << source.width}, not {segments}"
            )
        return fit_segments(function, source, target, segments, MAX_WORD)
    assert budget is not None
    for bits in range(source.width + 1):
        if line_error(function, source, target, 1 << bits) > budget + 0.5:
            continue
        for word in WORDS:
            table = fit_segments(function, source, target, 1 << bits, word)
            if worst_error(table) <= budget:
                return table
    raise ValueError(
        f"Budget must be at least {worst_error(table):.3g} units of {target} "
        f"for {function.name} of {source}, not {budget}"
    )


def check_fit(
    function: Function | str, source: Format, segments: int | None, budget: float | None
) -> Function:
    """The function; raises unless there is one, and one goal to fit it to."""
    function = function_of(function) if isinstance(function, str) else function
    if (segments is None) == (budget is None):
        raise ValueError("Either segments or budget must be given")
    if source.width > MAX_SOURCE:
        raise ValueError(f"Source must have at most {MAX_SOURCE} bits, not {source.width}")
    return function


def samples(function: Function, source: Format, target: Format, segments: int) -> np.ndarray:
    """Exact results in target units, float64 (segments, codes a segment), saturated.

    Segments are in two's complement order: those of non-negative inputs come first.
    """
    codes = np.arange(source.max - source.min + 1)
    codes = np.where(codes > source.max, codes - len(codes), codes)
    real = function(source.dequantize(codes)) * 2.0**target.frac
    return np.clip(real, target.min, target.max).reshape(segments, -1)


def chords(real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope (segments, 1) of each segment's chord, and what it leaves of ``real``.

    Where the function is convex or concave, the minimax line is parallel to the chord.
    """
    last = real.shape[1] - 1
    slope = (real[:, -1:] - real[:, :1]) / max(last, 1)
    return slope, real - slope * np.arange(last + 1)


def line_error(function: Function, source: Format, target: Format, segments: int) -> float:
    """Worst distance of unrounded minimax lines: a cheap estimate of what rounding can reach."""
    _, left = chords(samples(function, source, target, segments))
    return float(np.max(left.max(axis=1) - left.min(axis=1)) / 2)


def fit_segments(
    function: Function, source: Format, target: Format, segments: int, word_width: int
) -> PiecewiseLinear:
    """The best table of a number of segments whose words have at most ``word_width`` bits."""
    real = samples(function, source, target, segments)
    tables = []
    for shift in range(MAX_WORD - target.width, -1, -1):
        base, slope = round_lines(real, target, shift)
        word = (
            width_for(int(base.min()), int(base.max())),
            width_for(int(slope.min()), int(slope.max())),
        )
        if sum(word) <= word_width and word[1] <= MAX_SLOPE:
            base, slope = improve(real, target, shift, base, slope)
            base.flags.writeable = slope.flags.writeable = False
            tables.append(table_of(function, source, target, base, slope, shift))
            if len(tables) == 2:
                break
    best = min(tables, key=worst_error)
    codes = np.arange(source.min, source.max + 1)
    assert target.holds(best(codes)), f"{function.name} table leaves {target}"
    assert best.base_width + best.slope_width <= word_width
    return best


def table_of(function: Function, *parts: Any) -> PiecewiseLinear:
    """A table that knows its function, be it a user's own."""
    table = PiecewiseLinear(function.name, *parts)
    return table if function.stem in FAMILIES else replace(table, definition=function)


def center(real: np.ndarray, slope: np.ndarray, target: Format, shift: int) -> np.ndarray:
    """Base of each segment that halves the distance left by ``slope``, rounding included.

    Moved, where it has to be, so that neither end of the segment leaves ``target``.
    """
    last = real.shape[1] - 1
    left = real * 2.0**shift - slope[:, None] * np.arange(last + 1)
    middle = (left.max(axis=1) + left.min(axis=1)) / 2
    base = np.floor(middle + 2.0**shift / 2).astype(np.int64)
    rise = slope * last
    least = (target.min << shift) - np.minimum(rise, 0)
    most = ((target.max + 1) << shift) - 1 - np.maximum(rise, 0)
    return np.minimum(np.maximum(base, least), most)


def round_lines(real: np.ndarray, target: Format, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Integer base and slope of each segment's minimax line."""
    slope = np.rint(chords(real)[0][:, 0] * 2.0**shift).astype(np.int64)
    return center(real, slope, target, shift), slope


def distances(
    real: np.ndarray, base: np.ndarray, slope: np.ndarray, target: Format, shift: int
) -> np.ndarray:
    """Worst error of each segment; infinite where a result leaves ``target``."""
    last = real.shape[1] - 1
    got = (base[:, None] + slope[:, None] * np.arange(last + 1)) >> shift
    worst = np.abs(got - real).max(axis=1)
    inside = (np.minimum(got[:, 0], got[:, -1]) >= target.min) & (
        np.maximum(got[:, 0], got[:, -1]) <= target.max
    )
    return np.where(inside, worst, np.inf)


def improve(
    real: np.ndarray, target: Format, shift: int, base: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Search near each rounded line for the one whose rounded results are closest."""
    best = distances(real, base, slope, target, shift)
    base, slope = base.copy(), slope.copy()
    rows = np.flatnonzero(best > np.max(best[np.isfinite(best)], initial=0) - SEARCH_MARGIN)
    start = slope[rows]
    for turn in (0, 1, -1):
        middle = center(real[rows], start + turn, target, shift)
        for move in np.unique(np.rint(SEARCH * 2.0**shift).astype(np.int64)):
            tried = middle + move
            found = distances(real[rows], tried, start + turn, target, shift)
            better = rows[found < best[rows]]
            picked = found < best[rows]
            base[better], slope[better] = tried[picked], start[picked] + turn
            best[better] = found[picked]
    assert np.all(np.isfinite(best)), "a flat line through the middle never leaves the target"
    return base, slope
