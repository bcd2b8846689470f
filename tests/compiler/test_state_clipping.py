import math

import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.state_clipping import ENOUGH, MOST_CUT, least_error_format

COVERING = Format(16, 6)


def choose(ratios, shares):
    """Given what each number of fraction bits more than the covering format's gives; and calls."""
    asked = []

    def ratio(format):
        asked.append(format.frac - COVERING.frac)
        return ratios[format.frac - COVERING.frac]

    found = least_error_format(COVERING, lambda format: shares[format.frac - COVERING.frac], ratio)
    return found.frac - COVERING.frac, asked


@pytest.mark.parametrize(
    ("ratios", "shares", "expected", "runs"),
    [
        ([33, 36, 43, 53, 58], [0, 1e-5, 9e-4, 3e-3, 0.02], 3, [0, 1, 2, 3]),  # too much is cut
        ([33, 36, 43, 30], [0, 1e-5, 9e-4, 3e-3], 2, [0, 1, 2, 3]),  # the error grows again
        ([33, 33], [0, 1e-5], 0, [0, 1]),  # nothing is gained
        ([33, 65, 70], [0, 1e-5, 1e-4], 1, [0, 1]),  # exact enough
        ([ENOUGH, 90], [0, 1e-5], 0, [0]),
        ([math.inf], [0, 1e-5], 0, [0]),
        ([], [0, 2 * MOST_CUT], 0, []),  # values that fill their range cost no trial
    ],
)
def test_halves_the_range_while_the_outputs_come_nearer(ratios, shares, expected, runs):
    assert choose(ratios, shares) == (expected, runs)


def test_ends_at_the_finest_format():
    finest = Format(16, 64)
    assert least_error_format(finest, lambda format: 0.0, lambda format: 0.0) == finest
