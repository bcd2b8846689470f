"""Fits piecewise-linear tables whose segments are as long as the function lets them be."""

import heapq
import math
from functools import lru_cache

import numpy as np

from .fixed import Format, width_for
from .functions import Function
from .pwl import MAX_SLOPE, MAX_WORD, PiecewiseLinear, table_error, worst_error
from .pwl_uniform import check_fit, improve, round_lines, samples, table_of

__all__ = ["CRITERIA", "KNOT_BITS", "MAX_SEGMENTS", "fit_adaptive"]

CRITERIA = ("largest", "squares")
"""What a deleted knot costs: the largest error of the longer line, or the added squared error."""

KNOT_BITS = 12
"""Upper bits of an input that a knot may differ in: what hardware compares with it."""

MAX_SEGMENTS = 64
"""Each segment costs a comparison and its share of a choice of lines."""


@lru_cache(maxsize=64)
def fit_adaptive(
    function: Function | str,
    source: Format,
    target: Format,
    *,
    segments: int | None = None,
    budget: float | None = None,
    criterion: str = "largest",
) -> PiecewiseLinear:
    """Fit a table by greedy deletion of knots (Sari, Courville, Partovi Nia 2021: iRNN).

    Every point of the input grid is a knot at first; the one that costs least is deleted, until
    the segments are as few as asked for. Each segment's line is then rounded and searched as
    those of uniform tables are.

    Parameters
    ----------
    function : Function or str
        What to fit, or its name.
    source, target : Format
        Signed formats of input (up to 18 bits) and output.
    segments : int, optional
        From 1 to :data:`MAX_SEGMENTS`.
    budget : float, optional
        Worst error, in units of the target's last place. Instead of ``segments``: so few that
        one less misses it.
    criterion : str
        A name of :data:`CRITERIA`.
    """
    function = check_fit(function, source, segments, budget)
    if criterion not in CRITERIA:
        raise ValueError(f"Criterion must be one of {', '.join(CRITERIA)}, not {criterion!r}")
    real = np.roll(samples(function, source, target, 1)[0], -source.min)
    grid = 1 << max(0, source.width - KNOT_BITS)
    most = min(MAX_SEGMENTS, len(real) // grid)
    if segments is not None:
        if not 1 <= segments <= most:
            raise ValueError(f"Segments must be from 1 to {most}, not {segments}")
        ((_, starts),) = delete_knots(real, grid, [segments], criterion)
        return round_table(function, source, target, real, starts)
    assert budget is not None
    cost = Costs(real, criterion)
    (most, all_starts), *fewer = delete_knots(real, grid, range(1, most + 1), criterion)
    table = round_table(function, source, target, real, all_starts)
    if worst_error(table) > budget:
        raise ValueError(
            f"Budget must be at least {worst_error(table):.3g} units of {target} for "
            f"{function.name} of {source} with {most} segments, not {budget}"
        )
    # No line is closer than the least-squares line is on average: rounding adds half a unit, and
    # the sums are exact to far less than the other half.
    candidates = [starts for _, starts in fewer if cost.remaining(starts) <= budget + 1]
    while candidates:
        middle = len(candidates) // 2
        shorter = round_table(function, source, target, real, candidates[middle])
        met = worst_error(shorter) <= budget
        table = shorter if met else table
        candidates = candidates[middle + 1 :] if met else candidates[:middle]
    return table


def delete_knots(
    real: np.ndarray, grid: int, counts: list[int] | range, criterion: str
) -> list[tuple[int, list[int]]]:
    """Starts of the segments, largest number first, each time one of ``counts`` is reached."""
    cost = Costs(real, criterion)
    last = len(real) // grid
    before = {start: start - 1 for start in range(1, last)}
    after = {start: start + 1 for start in range(last)}
    version = dict.fromkeys(before, 0)

    def price(start: int) -> float:
        low = before[start] if start else 0
        return cost.of_deletion(low * grid, start * grid, after[start] * grid)

    heap = [(price(start), start, 0) for start in before]
    heapq.heapify(heap)
    found, wanted = [], set(counts)
    while True:
        if len(version) + 1 in wanted:
            found.append((len(version) + 1, [0, *(start * grid for start in sorted(version))]))
        if not version or len(version) + 1 <= min(wanted):
            return found
        _, start, at = heapq.heappop(heap)
        if version.get(start) != at:
            continue
        low, high = before.pop(start), after.pop(start)
        del version[start]
        after[low] = high
        if high in before:
            before[high] = low
        for neighbour in (low, high):
            if neighbour in version:
                version[neighbour] += 1
                heapq.heappush(heap, (price(neighbour), neighbour, version[neighbour]))


class Costs:
    """What the deletion of a knot costs, given the exact results of all codes in order."""

    def __init__(self, real: np.ndarray, criterion: str):
        self._real = real
        self._squares = criterion == "squares"
        places = np.arange(len(real)) - len(real) / 2
        sums = np.array([np.ones(len(real)), places, places**2, real, places * real, real**2])
        self._sums = np.concatenate([np.zeros((6, 1)), np.cumsum(sums, axis=1)], axis=1)

    def of_deletion(self, low: int, knot: int, high: int) -> float:
        if not self._squares:
            return self._largest(low, high)
        return self._least(low, high) - self._least(low, knot) - self._least(knot, high)

    def remaining(self, starts: list[int]) -> float:
        """Largest root-mean-square distance that least-squares lines leave in a segment."""
        ends = [*starts[1:], len(self._real)]
        return max(
            math.sqrt(self._least(low, high) / (high - low))
            for low, high in zip(starts, ends, strict=True)
        )

    def _line(self, low: int, high: int) -> tuple[float, float]:
        """Slope of the least-squares line of codes ``low`` to ``high - 1``, and its residue."""
        count, x, xx, y, xy, yy = self._sums[:, high] - self._sums[:, low]
        spread = xx - x * x / count
        slope = (xy - x * y / count) / spread if count > 1 else 0.0
        return slope, max(0.0, yy - y * y / count - slope * slope * spread)

    def _least(self, low: int, high: int) -> float:
        return self._line(low, high)[1]

    def _largest(self, low: int, high: int) -> float:
        """Half of what a line of the least-squares slope leaves."""
        left = self._real[low:high] - self._line(low, high)[0] * np.arange(high - low)
        return float(left.max() - left.min()) / 2


def round_table(
    function: Function, source: Format, target: Format, real: np.ndarray, starts: list[int]
) -> PiecewiseLinear:
    """The table of given segments, with as many fraction bits as its widths allow."""
    pieces = np.split(real, starts[1:])
    tables = []
    for shift in range(MAX_WORD - target.width, -1, -1):
        lines = [round_lines(piece[None], target, shift) for piece in pieces]
        slopes = np.array([int(slope[0]) for _, slope in lines])
        if width_for(int(slopes.min()) - 1, int(slopes.max()) + 1) > MAX_SLOPE:
            continue
        lines = [
            improve(piece[None], target, shift, *line)
            for piece, line in zip(pieces, lines, strict=True)
        ]
        slope = np.array([int(slope[0]) for _, slope in lines])
        base = np.array([int(base[0]) for base, _ in lines])
        base -= slope * (np.array(starts) + source.min)  # the offset is the input itself
        if width_for(int(base.min()), int(base.max())) > MAX_WORD:
            continue
        knots = np.array(starts[1:], dtype=np.int64) + source.min
        for array in (base, slope, knots):
            array.flags.writeable = False
        tables.append(table_of(function, source, target, base, slope, shift, knots))
        if len(tables) == 2:
            break
    best = min(tables, key=lambda table: table_error(table).worst)
    assert target.holds(np.array(best.bounds)), f"{function.name} table leaves {target}"
    return best
