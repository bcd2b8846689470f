"""What each lane of an engine computes: its rows, the code of its weights, its alignments."""

from dataclasses import dataclass

import numpy as np

from ..compiler.encodings import Encoding, Integers
from ..compiler.fixed import width_for
from .encoder import entry_layout

__all__ = [
    "BLOCK_WIDTH",
    "LanePlan",
    "ShiftCode",
    "entry_widths",
    "lane_rows",
    "plan_lanes",
    "products",
    "reach",
    "second_place",
    "sum_widths",
    "weight_widths",
]

BLOCK_WIDTH = 18
"""Bits of a multiplier block's operands, of which two products can share one."""


@dataclass(frozen=True)
class ShiftCode:
    """A weight as a sign, an exponent and whether it is more than zero, the sign lowest.

    Parameters
    ----------
    exponent_bits : int
        Bits of the exponent.
    zero : bool
        Whether there is a highest bit that is clear for zero.
    """

    exponent_bits: int
    zero: bool

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + int(self.zero)

    def codes(self, integers: np.ndarray) -> np.ndarray:
        """Codes of zeros and powers of two; a zero is anything where there is no bit for it."""
        sizes = np.abs(integers)
        exponents = np.log2(np.maximum(sizes, 1)).astype(np.int64)
        some = (sizes != 0).astype(np.int64) << (1 + self.exponent_bits)
        return (integers < 0) | exponents << 1 | (some if self.zero else 0)


@dataclass(frozen=True)
class LanePlan:
    """One lane.

    Parameters
    ----------
    rows : tuple
        For each fold of all stages, the row that it accumulates, or None: the affine nodes of a
        row of a unit, as in :attr:`StageSchedule.rows`.
    code : Integers or ShiftCode
        Of its weights in memory.
    shifts : tuple of tuple
        By fold: the left shifts of the input's values and of the awaited vector's. None where it
        has no weights for them and no zero to put in their place.
    second : tuple of tuple of int
        By fold: the same, whether the products go to the second accumulator.
    accumulators : int
        1 or 2.
    """

    rows: tuple
    code: Integers | ShiftCode
    shifts: tuple[tuple[int | None, ...], ...]
    second: tuple[tuple[int, ...], ...]
    accumulators: int


def lane_rows(schedule):
    """By lane and fold of all stages: the row that is accumulated, or None."""
    rows = [[None] * schedule.folds for _ in range(schedule.lanes)]
    for stage, first in zip(schedule.stages, schedule.first_fold, strict=True):
        for unit in range(stage.units):
            for place, row in enumerate(stage.rows):
                fold, lane = stage.place(unit, place)
                rows[lane][first + fold] = row
    return rows


def entry_widths(layer):
    """Bits of the list values of the input, and of whatever is awaited if anything is."""
    widths = [entry_layout(operand, layer.skip)["value"].width for operand in layer.operands]
    return [*widths[:1], *([max(widths[1:])] if widths[1:] else [])]


def row_paths(layer, row):
    """For each path of a row: its list (0 the input's), place in the row, affine and path."""
    for place, position in enumerate(row):
        affine = layer.graph.nodes[position]
        for path in affine.paths:
            yield int(layer.operands.index(layer.operand_of(path)) != 0), place, affine, path


def lane_code(encodings: set[Encoding]) -> Integers | ShiftCode:
    """The code of a lane: a multiplier's if it has integers, else signs and exponents."""
    if not encodings or any(isinstance(encoding, Integers) for encoding in encodings):
        return Integers.of(max((encoding.width for encoding in encodings), default=1))
    largest = max(encoding.high for encoding in encodings).bit_length() - 1
    zero = any(encoding.holds(np.zeros(1)) for encoding in encodings)
    return ShiftCode(largest.bit_length(), zero)


def plan_lane(layer, rows):
    """The lane that accumulates these rows, by fold."""
    paths = {row: list(row_paths(layer, row)) for row in rows if row is not None}
    code = lane_code({path.encoding for found in paths.values() for *_, path in found})
    lists = len(entry_widths(layer))
    nothing = 0 if isinstance(code, Integers) else None
    shifts, second = {}, {}
    for row, found in paths.items():
        row_shifts, row_second = [nothing] * lists, [0] * lists
        for at, place, affine, path in found:
            row_shifts[at], row_second[at] = layer.shift(affine, path), place
        shifts[row], second[row] = tuple(row_shifts), tuple(row_second)
    shifts[None] = next(iter(shifts.values()), (nothing,) * lists)  # anything will do
    second[None] = next(iter(second.values()), (0,) * lists)
    return LanePlan(
        rows=tuple(rows),
        code=code,
        shifts=tuple(shifts[row] for row in rows),
        second=tuple(second[row] for row in rows),
        accumulators=max(map(len, paths), default=1),
    )


def plan_lanes(schedule):
    """The lanes of a :class:`LayerSchedule`, in order."""
    return [plan_lane(schedule.layer, rows) for rows in lane_rows(schedule)]


def reach(schedule, shifts):
    """The largest magnitude of aligned list values, given their shifts by fold."""
    widths = entry_widths(schedule.layer)
    delta = int(schedule.layer.skip.differs)  # differences have no lowest value
    return max(
        ((1 << (width - 1)) - delta) << (shift or 0)
        for pair in shifts
        for width, shift in zip(widths, pair, strict=True)
    )


def second_place(code, largest):
    """Place of the second weight in a multiplier's operand, behind the first with ``code``."""
    bound = largest << (code.bits - 1)
    return width_for(-bound, bound)


def products(schedule, plans):
    """Which lanes have their products made together: tuples of one or two lanes.

    Two lanes share a multiplier block if they multiply the same list values and an operand of
    the block holds both weights, so far apart that the products do not meet.
    """
    groups, open_lanes = [], {}
    for lane, plan in enumerate(plans):
        first = open_lanes.pop(plan.shifts, None)
        if first is not None and can_share(schedule, plans[first], plan):
            groups.append((first, lane))
            continue
        if first is not None:
            groups.append((first,))
        if schedule.target.lane_multipliers and isinstance(plan.code, Integers):
            open_lanes[plan.shifts] = lane
        else:
            groups.append((lane,))
    return sorted(groups + [(lane,) for lane in open_lanes.values()])


def can_share(schedule, first, second):
    largest = reach(schedule, first.shifts)
    codes = isinstance(first.code, Integers) and isinstance(second.code, Integers)
    # The second weight takes a bit more: it is less by one where the first is negative.
    width = second_place(first.code, largest) + second.code.bits + 1
    return codes and max(width, largest.bit_length() + 1) <= BLOCK_WIDTH


def weight_widths(schedule):
    """Bits of each lane's weights in memory."""
    return [plan.code.bits for plan in plan_lanes(schedule)]


def sum_widths(schedule):
    """Bits of each lane's accumulators: one, or two where a row of the lane needs them."""
    return [schedule.accumulator_width * plan.accumulators for plan in plan_lanes(schedule)]
