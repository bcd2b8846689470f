"""Weight encodings: which integers weights can be, and the few bits that stand for each.

An encoding knows its levels, how real numbers are rounded to them and the code of each level. What
a level is worth is the business of a :class:`WeightFormat`, which adds the scale.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .fixed import Format, width_for

__all__ = [
    "ENCODINGS",
    "MULTIPLIER_FRAC",
    "UNIT_MULTIPLIER",
    "Encoding",
    "Integers",
    "SignShift",
    "Ternary",
    "WeightFormat",
]

MULTIPLIER_FRAC = 15
"""Fraction bits of a real scale's multiplier."""

UNIT_MULTIPLIER = 1 << MULTIPLIER_FRAC
"""The multiplier of a scale that is a power of two; a real one's is below twice as much."""


@dataclass(frozen=True)
class Encoding:
    """Base of the encodings.

    Parameters
    ----------
    name : str
        As a recipe calls it.
    bits : int
        Bits of a code.
    """

    name: str
    bits: int

    @cached_property
    def levels(self) -> np.ndarray:
        """Every integer that a weight can be, ascending; int64."""
        raise NotImplementedError

    @cached_property
    def thresholds(self) -> np.ndarray:
        """Halfway between neighbouring levels; float64, one fewer than levels."""
        return (self.levels[:-1] + self.levels[1:]) / 2

    @cached_property
    def low(self) -> int:
        """The lowest level."""
        return int(self.levels[0])

    @cached_property
    def high(self) -> int:
        """The highest level."""
        return int(self.levels[-1])

    @cached_property
    def width(self) -> int:
        """Bits of the levels in two's complement."""
        return width_for(self.low, self.high)

    def holds(self, integers: np.ndarray) -> bool:
        """Whether all are levels."""
        return bool(np.isin(integers, self.levels).all())

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """The nearest levels of real ``values``, halves up; int64 of the same shape."""
        return self.levels[np.searchsorted(self.thresholds, values, side="right")]

    def stochastic(self, values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """One of the two neighbouring levels of each value, the nearer one the more likely.

        The mean over many draws is the value, where it lies between the outermost levels. With
        two levels this is the hard sigmoid of stochastic BinaryConnect (Courbariaux et al. 2015),
        with three stochastic TernaryConnect (Lin et al. 2016), as in Alom et al. 2018.
        """
        above = np.searchsorted(self.levels, values, side="right").clip(1, len(self.levels) - 1)
        lower, upper = self.levels[above - 1], self.levels[above]
        share = (values - lower) / (upper - lower)
        return np.where(generator.random(values.shape) < share, upper, lower)

    def codes(self, integers: np.ndarray) -> np.ndarray:
        """Codes of levels, int64: what ``bits`` bits mean in two's complement."""
        return integers

    def integers(self, codes: np.ndarray) -> np.ndarray:
        """What codes stand for; any ``bits`` bits stand for something."""
        return codes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Integers(Encoding):
    """Two's complement: every integer of ``bits`` bits."""

    @classmethod
    def of(cls, bits: int) -> "Integers":
        return cls(f"int{bits}", bits)

    @cached_property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @cached_property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @cached_property
    def levels(self) -> np.ndarray:
        return np.arange(self.low, self.high + 1)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        return Format(self.bits, 0).quantize(values)


@dataclass(frozen=True)
class Ternary(Encoding):
    """-1, 0 and 1 (Li et al. 2016, Alom et al. 2018), in two bits of two's complement."""

    @cached_property
    def levels(self) -> np.ndarray:
        return np.arange(-1, 2)


@dataclass(frozen=True)
class SignShift(Encoding):
    """A sign and a power of two, never zero: -1 or 1 times 1, 2, 4, ... (Li et al. 2023).

    One bit gives -1 and 1 (Courbariaux et al. 2015), two give -2, -1, 1 and 2, which are the
    quaternary weights of Alom et al. 2018 in units of a half. The highest bit is the sign, the
    others are the exponent.
    """

    @cached_property
    def levels(self) -> np.ndarray:
        powers = 1 << np.arange(1 << (self.bits - 1))
        return np.concatenate([-powers[::-1], powers])

    def codes(self, integers: np.ndarray) -> np.ndarray:
        exponents = np.searchsorted(self.levels, np.abs(integers)) - len(self.levels) // 2
        return exponents - np.where(integers < 0, 1 << (self.bits - 1), 0)

    def integers(self, codes: np.ndarray) -> np.ndarray:
        exponents = codes & ((1 << (self.bits - 1)) - 1)
        return np.where(codes < 0, -1, 1) << exponents


ENCODINGS: dict[str, Encoding] = {
    encoding.name: encoding
    for encoding in (
        *(Integers.of(bits) for bits in range(2, 17)),
        SignShift("binary", 1),
        Ternary("ternary", 2),
        SignShift("quaternary", 2),
        *(SignShift(f"shift{bits}", bits) for bits in (2, 3, 4)),
    )
}
"""By the name that a recipe calls them."""


@dataclass(frozen=True)
class WeightFormat:
    """What the integers of a matrix of weights stand for, and how they are stored.

    The integer ``v`` stands for ``v * multiplier / UNIT_MULTIPLIER * 2**-frac``.

    Parameters
    ----------
    encoding : Encoding
        Levels and codes.
    frac : int
        Fraction bits. May be negative.
    multiplier : int
        Mantissa of a real scale, from ``UNIT_MULTIPLIER`` to below twice as much; the same for
        all paths of a gate, which share an accumulator.
    """

    encoding: Encoding
    frac: int
    multiplier: int = UNIT_MULTIPLIER

    def __post_init__(self) -> None:
        if not isinstance(self.frac, int):
            raise ValueError(f"Weight format frac must be an integer, not {self.frac!r}")
        if self.multiplier not in range(UNIT_MULTIPLIER, 2 * UNIT_MULTIPLIER):
            raise ValueError(
                f"Weight format multiplier must be from {UNIT_MULTIPLIER} to below "
                f"{2 * UNIT_MULTIPLIER}, not {self.multiplier!r}"
            )

    @property
    def min(self) -> int:
        """The lowest integer."""
        return self.encoding.low

    @property
    def max(self) -> int:
        """The highest integer."""
        return self.encoding.high

    @property
    def scale(self) -> float:
        """Value of the integer 1."""
        return self.multiplier / UNIT_MULTIPLIER * 2.0**-self.frac

    @property
    def format(self) -> Format:
        """Fixed-point format of the integers, the multiplier left out."""
        return Format(self.encoding.width, self.frac)

    def quantize(
        self, values: np.ndarray, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Integers for real ``values``: int64 of the same shape.

        The nearest levels, or with a generator random neighbours; see
        :meth:`Encoding.stochastic`.
        """
        scaled = np.asarray(values, dtype=np.float64) / self.scale
        if generator is None:
            return self.encoding.nearest(scaled)
        return self.encoding.stochastic(scaled, generator)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Real values of integers; float64 of the same shape."""
        return np.asarray(values, dtype=np.float64) * self.scale
