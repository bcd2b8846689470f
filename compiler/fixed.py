"""The number contract: what a stored integer means and how a wide one is narrowed.

Everything that computes with integers (passes, golden model, hardware) takes its formats from
here, and there is one rounding rule: add half, shift right, saturate.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Format", "half_unit", "requantize", "width_for"]


@dataclass(frozen=True)
class Format:
    """Fixed point: the stored integer ``v`` stands for ``v * 2**-frac``.

    Parameters
    ----------
    width : int
        Bits, the sign included.
    frac : int
        Fraction bits. May exceed ``width`` or be negative.
    signed : bool
        Two's complement, or non-negative.
    """

    width: int
    frac: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or self.width < 1:
            raise ValueError(f"Format width must be a positive integer, not {self.width!r}")
        if not isinstance(self.frac, int):
            raise ValueError(f"Format frac must be an integer, not {self.frac!r}")

    @property
    def min(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def scale(self) -> float:
        """Value of one unit in the last place."""
        return 2.0**-self.frac

    @property
    def byte_width(self) -> int:
        """Bits of the whole bytes that hold an integer."""
        return -(-self.width // 8) * 8

    def holds(self, values: np.ndarray) -> bool:
        """Whether every value fits."""
        values = np.asarray(values)
        return bool(np.all((self.min <= values) & (values <= self.max)))

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Nearest integers (halves up) of real ``values``, saturated; int64 of the same shape."""
        scaled = np.floor(np.asarray(values, dtype=np.float64) * 2.0**self.frac + 0.5)
        return np.clip(scaled, self.min, self.max).astype(np.int64)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Real values of integers; float64 of the same shape."""
        return np.asarray(values, dtype=np.float64) * self.scale

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}.{self.frac}"


def width_for(low: int, high: int) -> int:
    """Bits of the narrowest signed format that holds every integer in [low, high]."""
    return (
        max(
            int(low).bit_length() if low >= 0 else (-int(low) - 1).bit_length(),
            int(high).bit_length() if high >= 0 else (-int(high) - 1).bit_length(),
        )
        + 1
    )


def half_unit(shift: int) -> int:
    """What rounding half up adds before a right shift; nothing where there is none."""
    return (1 << shift) >> 1 if shift > 0 else 0


def requantize(values: np.ndarray, source: Format, target: Format) -> np.ndarray:
    """Bring integers of format ``source`` to format ``target``; int64 of the same shape.

    Rounds half up (towards plus infinity) and saturates.
    """
    values = np.asarray(values, dtype=np.int64)
    shift = source.frac - target.frac
    if shift > 0:
        values = (values + half_unit(shift)) >> shift
    elif shift < 0:
        limit = max(-target.min, target.max) + 1
        values = np.clip(values, -limit, limit) << -shift
    return np.clip(values, target.min, target.max)
