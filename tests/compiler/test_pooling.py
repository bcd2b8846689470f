"""Means in integers against exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.streams import Pool


@pytest.mark.parametrize("source", [Format(8, 7), Format(1, 0), Format(16, 3), Format(32, 20)])
@pytest.mark.parametrize("more", [0, 1, 4, 10, -1, -7, -31])
@pytest.mark.parametrize("width", [2, 8, 32])
def test_means_are_exact_and_rounded_half_up(source, more, width):
    if more <= -source.width:
        return
    rng = np.random.default_rng(more + 40)
    layer = Pool("pool", "mean", format=Format(width, source.frac + more))
    layer.check()
    layer.output_format([source])
    counts = np.concatenate(
        [[1, 1, 2, 3, layer.max_steps, layer.max_steps], rng.integers(1, 99, 40)]
    )
    shares = np.concatenate([[0, 1, 0.5, 0.5, 0, 1], rng.random(40)])
    sums = np.array(
        [
            count * source.min + round(share * count * (source.max - source.min))
            for count, share in zip(counts.tolist(), shares.tolist(), strict=True)
        ]
    )
    found = layer.mean(sums, counts, source)
    for value, total, count in zip(found.tolist(), sums.tolist(), counts.tolist(), strict=True):
        exact = floor(Fraction(total, count) * Fraction(2) ** more + Fraction(1, 2))
        assert value == min(max(exact, layer.format.min), layer.format.max)
