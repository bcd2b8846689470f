"""Piecewise-linear activations: what they compute, and how far that is from the function."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .fixed import Format, width_for
from .functions import FAMILIES, Function, function_of

__all__ = [
    "MAX_SHIFTED",
    "MAX_SLOPE",
    "MAX_WORD",
    "PiecewiseLinear",
    "TableError",
    "table_error",
    "worst_error",
]

MAX_WORD = 36
"""Bits of base and slope together: one word of an ECP5 block RAM of 512 words."""

MAX_SHIFTED = 4
"""Pieces that hardware chooses among by the input alone, if none needs a multiplier."""

MAX_SLOPE = 18
"""Bits of an ECP5 multiplier's operand."""


@dataclass(frozen=True)
class PiecewiseLinear:
    """An activation as ``(base[segment] + slope[segment] * offset) >> shift``.

    Uniform segments: the segment is the upper bits of the input (two's complement order), the
    offset its lower bits, unsigned. With ``knots`` (Sari et al. 2021) a segment begins at each of
    them and the offset is the input itself. The rounding constant is part of ``base``, and no
    input leaves ``target``.

    Parameters
    ----------
    function : str
        Its name: one of :mod:`~deltaloom.compiler.functions`, or a user's own.
    source, target : Format
        Of input and output.
    base, slope : numpy.ndarray
        Int64, one of each a segment; of uniform ones there is a power of two.
    shift : int
        Fraction bits of base and slope beyond the target's.
    knots : numpy.ndarray, optional
        Int64 (segments - 1,), ascending: first input code of each segment but the first.
    definition : Function, optional
        A user's own function; what is read from a file lacks it.
    """

    function: str
    source: Format
    target: Format
    base: np.ndarray
    slope: np.ndarray
    shift: int
    knots: np.ndarray | None = None
    definition: Function | None = None

    @property
    def known(self) -> bool:
        """Whether its function is known here, so that its error can be measured."""
        return self.definition is not None or self.function.partition("(")[0] in FAMILIES

    @property
    def segment_bits(self) -> int:
        """Of a uniform table: the input's upper bits that choose a segment."""
        return len(self.base).bit_length() - 1

    @property
    def offset_bits(self) -> int:
        """Of a uniform table: the input's other bits."""
        return self.source.width - self.segment_bits

    @property
    def shifts(self) -> bool:
        """Whether it takes no multiplier: few pieces, each flat or as steep as a power of two."""
        steep = np.abs(self.slope)
        powers = bool(np.all(steep & (steep - 1) == 0))
        return self.knots is not None and len(self.base) <= MAX_SHIFTED and powers

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
        if self.knots is None:
            first, last = np.array([0]), np.array([(1 << self.offset_bits) - 1])
        else:
            first = np.concatenate([[self.source.min], self.knots])
            last = np.concatenate([self.knots - 1, [self.source.max]])
        lines = self.base, self.slope
        ends = np.concatenate([lines[0] + lines[1] * end for end in (first, last)]) >> self.shift
        return int(ends.min()), int(ends.max())

    @cached_property
    def results(self) -> np.ndarray:
        """Result of every input code, int32; that of code -1 is the last one."""
        codes = np.arange(self.source.max - self.source.min + 1)
        found = self(np.where(codes > self.source.max, codes - len(codes), codes))
        found = found.astype(np.int32)
        found.flags.writeable = False
        return found

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Target integers of source integers; int64 of the same shape."""
        values = np.asarray(values, dtype=np.int64)
        if self.knots is None:
            segment = (values >> self.offset_bits) & (len(self.base) - 1)
            offset = values & ((1 << self.offset_bits) - 1)
        else:
            segment, offset = np.searchsorted(self.knots, values, side="right"), values
        return (self.base[segment] + self.slope[segment] * offset) >> self.shift

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PiecewiseLinear)
            and (self.function, self.source, self.target, self.shift)
            == (other.function, other.source, other.target, other.shift)
            and (self.knots is None) == (other.knots is None)
            and all(
                np.array_equal(mine, others)
                for mine, others in (
                    (self.base, other.base),
                    (self.slope, other.slope),
                    (self.knots, other.knots),
                )
                if mine is not None and others is not None
            )
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


def table_error(table: PiecewiseLinear) -> TableError:
    """Measure a table on every input code against float64.

    Raises
    ------
    ValueError
        If its function is a user's own and not known here.
    """
    codes = np.arange(table.source.min, table.source.max + 1)
    function = table.definition or function_of(table.function)
    real = function(table.source.dequantize(codes)) * 2.0**table.target.frac
    distance = np.abs(table(codes) - real)
    return TableError(
        worst=float(distance.max()),
        mean=float(distance.mean()),
        rms=float(np.sqrt(np.mean(distance**2))),
    )


def worst_error(table: PiecewiseLinear) -> float:
    """Largest distance from the real function over every input code, in target units."""
    return table_error(table).worst
