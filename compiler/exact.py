"""What the results of exact operations can be, so that no bit of them is missing or wasted."""

from dataclasses import dataclass

import numpy as np

from .encodings import MULTIPLIER_FRAC
from .fixed import Format, half_unit, width_for
from .graph import Add, Binary, Mul, Sub

__all__ = [
    "MAX_EXACT",
    "MAX_LEFT",
    "MAX_MULTIPLIER",
    "MAX_RIGHT",
    "MAX_SCALAR",
    "Interval",
    "combine",
    "magnitude",
    "rectify",
    "repeated",
    "rescale",
    "scale",
]

MAX_EXACT = 60
"""Bits of the widest element-wise result."""

MAX_MULTIPLIER = 18
"""Bits of the widest operand of an element-wise product: an ECP5 multiplier's."""

MAX_SCALAR = 36
"""Bits of the widest operand of a product of two scalars, of which there is one a timestep."""

MAX_LEFT, MAX_RIGHT = 31, 47
"""The longest shifts of a rescale."""


@dataclass(frozen=True)
class Interval:
    """Every integer from ``low`` to ``high``, in units of 2**-frac."""

    low: int
    high: int
    frac: int

    @classmethod
    def of(cls, format: Format) -> "Interval":
        """All that a format holds."""
        return cls(format.min, format.max, format.frac)

    @property
    def format(self) -> Format:
        """The narrowest signed format that holds the interval."""
        return Format(width_for(self.low, self.high), self.frac)

    def within(self, format: Format) -> bool:
        return format.frac == self.frac and format.min <= self.low and self.high <= format.max


def combine(node: Binary, a: Interval, b: Interval) -> Interval:
    """Results of an element-wise operation of two independent operands."""
    frac = max(a.frac, b.frac)
    a_low, a_high = a.low << (frac - a.frac), a.high << (frac - a.frac)
    b_low, b_high = b.low << (frac - b.frac), b.high << (frac - b.frac)
    match node:
        case Add():
            return Interval(a_low + b_low, a_high + b_high, frac)
        case Sub():
            return Interval(a_low - b_high, a_high - b_low, frac)
        case Mul():
            corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            return Interval(min(corners), max(corners), a.frac + b.frac)
        case _:
            raise TypeError(f"Operation must be Add, Sub or Mul, not {node!r}")


def rectify(a: Interval) -> Interval:
    """Results of ``relu``."""
    return Interval(max(a.low, 0), max(a.high, 0), a.frac)


def scale(a: Interval, multiplier: int) -> Interval:
    """Results of the multiplication with a positive constant."""
    return Interval(a.low * multiplier, a.high * multiplier, a.frac + MULTIPLIER_FRAC)


def magnitude(a: Interval) -> Interval:
    """Results of ``abs``."""
    ends = (abs(a.low), abs(a.high))
    return Interval(0 if a.low <= 0 <= a.high else min(ends), max(ends), a.frac)


def repeated(a: Interval, count: int) -> Interval:
    """Sums of ``count`` values, or products with it."""
    return Interval(a.low * count, a.high * count, a.frac)


def rescale(a: Interval, target: Format) -> Interval:
    """Results of rounding half up to ``target``, which keeps the order of values."""
    shift = a.frac - target.frac
    half = half_unit(shift)
    ends = [(end + half) >> shift if shift > 0 else end << -shift for end in (a.low, a.high)]
    low, high = np.clip(np.array(ends, dtype=object), target.min, target.max)
    return Interval(int(low), int(high), target.frac)
