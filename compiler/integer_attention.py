"""Attention in integers: its formats, and the proof that nothing overflows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .attention import AttentionLayer
from .exact import MAX_MULTIPLIER
from .fixed import Format, requantize, width_for
from .inverse import FixedInverse
from .pwl import PiecewiseLinear
from .streams import require

__all__ = ["SCALE_FRAC", "TABLES", "IntegerAttention"]


SCALE_FRAC = 15
"""Fraction bits of the scale's mantissa, which is at least 1 and below 2."""


RECIPROCAL_FRAC = 16
"""Bits to which the reciprocal of the largest sum of weights is known."""

TABLES = {"dot": ("exp", "reciprocal"), "additive": ("exp", "reciprocal", "tanh")}
"""By form: the tables that it looks up."""


@dataclass(frozen=True)
class IntegerAttention(AttentionLayer):
    """Attention of an integer network.

    Scores are exact sums. From the largest one of all keys each is subtracted, the difference
    times the scale is rounded, and a table gives its exponential: a weight from 0 to 1, relative
    to the largest. The sum of weights is exact, and so is the sum of weighted values; the product
    of that with the reciprocal of the sum of weights is rounded once. Weights are not divided by
    their sum before: they keep their precision however many there are.

    Parameters
    ----------
    size, value_size : int
        Features of a query and a key, and of a value.
    query, key, value : Format
        Of the three sources.
    weight : Format
        Of the weights.
    multiplier, exponent : int
        The scale is ``multiplier * 2 ** (exponent - 15)``.
    format : Format
        Of the output.
    tables : mapping of str to PiecewiseLinear
        ``exp``, ``reciprocal`` and, in the form ``additive``, ``tanh``.
    skips_zeros : bool
        Whether columns of zeros are left out: elements of a query, and weights.
    energies : numpy.ndarray, optional
        Int64 (size,), in the form ``additive``.
    energy, hidden : Format, optional
        Of energies, and of what they are multiplied with.
    """

    size: int
    value_size: int
    query: Format
    key: Format
    value: Format
    weight: Format
    multiplier: int
    exponent: int
    format: Format
    tables: Mapping[str, PiecewiseLinear]
    skips_zeros: bool
    energies: np.ndarray | None = None
    energy: Format | None = None
    hidden: Format | None = None

    @property
    def cell(self) -> str:
        """Name of the cell, for reports."""
        return "Attention"

    @property
    def operands(self) -> tuple[Format, Format, Format]:
        """Formats of the three sources."""
        return self.query, self.key, self.value

    @cached_property
    def hidden_sum(self) -> Format:
        """Exact sums of a query's and a key's element."""
        frac = max(self.query.frac, self.key.frac)
        ends = [
            sum(end << (frac - format.frac) for end, format in pairs)
            for pairs in (
                ((self.query.min, self.query), (self.key.min, self.key)),
                ((self.query.max, self.query), (self.key.max, self.key)),
            )
        ]
        return Format(width_for(*ends), frac)

    @cached_property
    def score(self) -> Format:
        """Exact sums of products, whatever the input."""
        if self.energies is not None:
            assert self.energy is not None
            assert self.hidden is not None
            bound = int(np.abs(self.energies).sum()) * -self.hidden.min
            return Format(width_for(-bound, bound), self.energy.frac + self.hidden.frac)
        bound = self.size * self.query.min * self.key.min
        return Format(width_for(-bound, bound), self.query.frac + self.key.frac)

    @cached_property
    def difference(self) -> Format:
        """Exact differences of scores from the largest one, which are not negative."""
        return Format(self.score.width + 1, self.score.frac)

    @cached_property
    def reach(self) -> Format:
        """Differences as they are scaled: up to where the exponential is nothing, no finer."""
        farthest = 2.0 ** (self.exponents.width - self.exponents.frac)
        frac = MAX_MULTIPLIER - 1 - int(np.ceil(np.log2(farthest / self.scale_value)))
        return Format(MAX_MULTIPLIER, min(frac, self.score.frac))

    @property
    def scale_value(self) -> float:
        return self.multiplier * 2.0 ** (self.exponent - SCALE_FRAC)

    @cached_property
    def scaled(self) -> Format:
        """Exact scaled differences."""
        frac = self.reach.frac + SCALE_FRAC - self.exponent
        return Format(self.reach.width + SCALE_FRAC + 1, frac)

    @property
    def exponents(self) -> Format:
        """Scaled differences as they are looked up, without a sign."""
        source = self.tables["exp"].source
        return Format(source.width, source.frac, signed=False)

    @property
    def largest_weight(self) -> int:
        return self.tables["exp"].bounds[1]

    @cached_property
    def total(self) -> Format:
        """Exact sums of the weights of as many keys as there is room for."""
        bound = self.max_steps * self.largest_weight
        return Format(width_for(0, bound), self.weight.frac)

    @cached_property
    def weighted(self) -> Format:
        """Exact sums of weighted values of as many keys as there is room for."""
        bound = self.max_steps * self.largest_weight * -self.value.min
        return Format(width_for(-bound, bound), self.weight.frac + self.value.frac)

    @cached_property
    def inverse(self) -> FixedInverse:
        """Of the sum of weights: the largest sum's is known to 16 bits."""
        frac = RECIPROCAL_FRAC + (self.max_steps - 1).bit_length()
        target = Format(frac + 2, frac)
        return FixedInverse("reciprocal", self.total, target, 0, self.tables["reciprocal"])

    @cached_property
    def context(self) -> Format:
        """Weighted sums times the reciprocal, before they are rounded.

        A weighted sum is at most the sum of weights times the largest value, and that sum times
        its reciprocal is below 4: its mantissa below 2 times a table's result of at most 3/2.
        """
        target = self.inverse.target
        bound = -self.value.min << (target.frac + self.total.frac + 2)
        return Format(width_for(-bound, bound), self.weighted.frac + target.frac)

    @property
    def accumulator_width(self) -> int:
        """Bits of every lane's accumulator."""
        return max(self.score.width, self.weighted.width)

    def weights(self, scores: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Weights of int64 scores (..., keys), of those that are ``there``; 0 elsewhere."""
        lowest = np.iinfo(np.int64).min
        largest = np.where(there, scores, lowest).max(axis=-1, keepdims=True)
        differences = np.where(there, largest - scores, 0)
        table = self.tables["exp"]
        found = table(self.codes(differences))
        return np.where(there, found, 0)

    def codes(self, differences: np.ndarray) -> np.ndarray:
        """What the exponential of differences is looked up with."""
        near = requantize(differences, self.difference, self.reach)
        scaled = requantize(near * self.multiplier, self.scaled, self.exponents)
        return scaled + self.tables["exp"].source.min

    def hidden_of(self, sums: np.ndarray) -> np.ndarray:
        """What energies are multiplied with, from exact sums of queries and keys."""
        table = self.tables["tanh"]
        return table(requantize(sums, self.hidden_sum, table.source))

    def round_context(self, weighted: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """Outputs of weighted sums (..., features) and sums of weights (..., 1), not saturated.

        Int64, at most as wide as :attr:`context` before the rounding.
        """
        return requantize(weighted * self.inverse(totals), self.context, self.format)

    def output_size(self, sizes: Sequence[int]) -> int:
        found = super().output_size(sizes)
        require(
            (sizes[0], found) == (self.size, self.value_size),
            f"Layer {self.name} must take queries of {self.size} features and values of "
            f"{self.value_size}, not of {sizes[0]} and {found}",
        )
        return found

    def output_format(self, formats: Sequence[Format]) -> Format:
        require(
            tuple(formats) == self.operands,
            f"Layer {self.name} must take elements of {', '.join(map(str, self.operands))}, "
            f"not of {', '.join(map(str, formats))}",
        )
        return self.format
