"""The rules of activation tables."""

from itertools import pairwise

from ..exact import MAX_MULTIPLIER
from ..functions import function_of
from ..pwl import MAX_SLOPE, MAX_WORD, PiecewiseLinear
from ..pwl_adaptive import MAX_SEGMENTS
from .rules import NAME, check_array, check_format, require

__all__ = ["check_table"]


def check_table(what: str, table: PiecewiseLinear) -> None:
    """A table has one line a segment, fits its memory word, and never leaves its target."""
    if table.known and table.definition is None:
        require(function_of(table.function).name == table.function, f"{what} must name a function")
    else:
        require(NAME.fullmatch(table.function) is not None, f"{what} must have a function's name")
    check_format(f"Input of {what}", table.source, MAX_MULTIPLIER)
    check_format(what, table.target, MAX_MULTIPLIER)
    segments = len(table.base)
    if table.knots is None:
        require(
            0 < segments <= 1 << table.source.width and segments & (segments - 1) == 0,
            f"{what} must have a power of two of segments, at most one an input, not {segments}",
        )
    else:
        check_knots(what, table)
    check_array(f"Base of {what}", table.base, (segments,))
    check_array(f"Slope of {what}", table.slope, (segments,))
    require(0 <= table.shift <= MAX_WORD, f"{what} must shift by 0 to {MAX_WORD} bits")
    word = table.base_width + (table.slope_width if table.knots is None else 0)
    require(
        word <= MAX_WORD and table.slope_width <= MAX_SLOPE,
        f"{what} must fit words of {MAX_WORD} bits with slopes of {MAX_SLOPE}",
    )
    low, high = table.bounds
    require(
        table.target.min <= low and high <= table.target.max,
        f"{what} must stay within {table.target}, not reach {low} and {high}",
    )


def check_knots(what: str, table: PiecewiseLinear) -> None:
    """Knots begin the segments but the first, each within the input's range."""
    knots, segments = table.knots, len(table.base)
    assert knots is not None
    require(
        0 < segments <= MAX_SEGMENTS,
        f"{what} must have 1 to {MAX_SEGMENTS} segments between knots, not {segments}",
    )
    check_array(f"Knots of {what}", knots, (segments - 1,))
    ends = [table.source.min, *knots.tolist(), table.source.max + 1]
    require(
        all(before < after for before, after in pairwise(ends)),
        f"Knots of {what} must ascend within {table.source}",
    )
