"""Piecewise-linear activation tables with uniform segments: what they compute and how they fit."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .fixed import Format, width_for

__all__ = [
    "FUNCTIONS",
    "MAX_WORD",
    "PiecewiseLinear",
    "TableError",
    "fit",
    "source_format",
    "table_error",
    "worst_error",
]

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
    "tanh": np.tanh,
}
"""What a table stands for, in float64."""

MAX_WORD = 36
"""Bits of base and slope together: one word of an ECP5 block RAM of 512 words."""

WORDS = (32, MAX_WORD)
"""Widths of a word to try: two block RAMs of an iCE40, one of an ECP5."""

MAX_SLOPE = 18
"""Bits of an ECP5 multiplier's operand."""

RANGE_BITS = {"sigmoid": 4, "tanh": 3}
"""Inputs lie in [-2**bits, 2**bits): beyond it the functions are flat to 16 bits."""


SEARCH = np.linspace(-0.3, 0.3, 13)
"""Where to look for a better base, in units of the target's last place."""

SEARCH_MARGIN = 0.4
"""Segments this much better than the worst one are good enough as they are."""


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

    @property
    def base_width(self) -> int:
        """Bits of the narrowest signed number that holds every base."""
        return width_for(int(self.base.min()), int(self.base.max()))

    @property
    def slope_width(self) -> int:
        """Bits of the narrowest signed number that holds every slope."""
        return width_for(int(self.slope.min()), int(self.slope.max()))

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Least and largest result of any input; a line is extreme at a segment's ends."""
        last = (1 << self.offset_bits) - 1
        ends = np.concatenate([self.base, self.base + self.slope * last]) >> self.shift
        return int(ends.min()), int(ends.max())

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


@dataclass(frozen=True)
class TableError:
    """Distance of a table from the real function, in units of the target's last place.

    Parameters
    ----------
    worst, mean, rms : float
        Largest, average and root-mean-square absolute distance over every input code.
    """

    worst: float
    mean: float
    rms: float


def source_format(function: str, width: int) -> Format:
    """Input format of a function's table: [-16, 16) for ``sigmoid``, [-8, 8) for ``tanh``."""
    return Format(width, width - 1 - RANGE_BITS[function])


def table_error(table: PiecewiseLinear) -> TableError:
    """Measure a table on every input code against float64."""
    codes = np.arange(table.source.min, table.source.max + 1)
    real = FUNCTIONS[table.function](table.source.dequantize(codes)) * 2.0**table.target.frac
    distance = np.abs(table(codes) - real)
    return TableError(
        worst=float(distance.max()),
        mean=float(distance.mean()),
        rms=float(np.sqrt(np.mean(distance**2))),
    )


def worst_error(table: PiecewiseLinear) -> float:
    """Largest distance from the real function over every input code, in target units."""
    return table_error(table).worst


@lru_cache(maxsize=256)
def fit(
    function: str,
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
    function : str
        A name of :data:`FUNCTIONS`.
    source, target : Format
        Signed formats of input (up to 18 bits) and output.
    segments : int, optional
        A power of two, at most one a code.
    budget : float, optional
        Worst error, in units of the target's last place. Instead of ``segments``: the smallest
        power of two that meets it, in the narrowest of :data:`WORDS` that does.
    """
    if function not in FUNCTIONS:
        raise ValueError(f"Function must be one of {', '.join(FUNCTIONS)}, not {function!r}")
    if (segments is None) == (budget is None):
        raise ValueError("Either segments or budget must be given")
    if source.width > 18:
        raise ValueError(f"Source must have at most 18 bits, not {source.width}")
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
        f"for {function} of {source}, not {budget}"
    )


def samples(function: str, source: Format, target: Format, segments: int) -> np.ndarray:
    """Exact results in target units, float64 (segments, codes a segment), saturated.

    Segments are in two's complement order: those of non-negative inputs come first.
    """
    codes = np.arange(source.max - source.min + 1)
    codes = np.where(codes > source.max, codes - len(codes), codes)
    real = FUNCTIONS[function](source.dequantize(codes)) * 2.0**target.frac
    return np.clip(real, target.min, target.max).reshape(segments, -1)


def chords(real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope (segments, 1) of each segment's chord, and what it leaves of ``real``.

    Where the function is convex or concave, the minimax line is parallel to the chord.
    """
    last = real.shape[1] - 1
    slope = (real[:, -1:] - real[:, :1]) / max(last, 1)
    return slope, real - slope * np.arange(last + 1)


def line_error(function: str, source: Format, target: Format, segments: int) -> float:
    """Worst distance of unrounded minimax lines: a cheap estimate of what rounding can reach."""
    _, left = chords(samples(function, source, target, segments))
    return float(np.max(left.max(axis=1) - left.min(axis=1)) / 2)


def fit_segments(
    function: str, source: Format, target: Format, segments: int, word_width: int
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
            tables.append(PiecewiseLinear(function, source, target, base, slope, shift))
            if len(tables) == 2:
                break
    best = min(tables, key=worst_error)
    codes = np.arange(source.min, source.max + 1)
    assert target.holds(best(codes)), f"{function} table leaves {target}"
    assert best.base_width + best.slope_width <= word_width
    return best


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
