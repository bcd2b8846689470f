import itertools

import numpy as np
import pytest

from deltaloom.hw.multiplier import Multiplier


def codes(width):
    return range(-(1 << (width - 1)), 1 << (width - 1))


@pytest.mark.parametrize("block", [True, False], ids=["block", "rows"])
@pytest.mark.parametrize("widths", [(1, 1), (1, 5), (5, 1), (2, 6), (3, 3), (6, 4), (5, 6)])
def test_every_pair(cycles, widths, block):
    a, b = np.array(list(itertools.product(*map(codes, widths)))).T
    dut = Multiplier(*widths, block=block)
    seen = cycles(dut, {"a": a, "b": b}, ["p"], len(a) + dut.latency)["p"]
    np.testing.assert_array_equal(seen[dut.latency :], a * b)


@pytest.mark.parametrize("block", [True, False], ids=["block", "rows"])
def test_extremes_of_wide_factors(cycles, block):
    corners = [-(1 << 17), (1 << 17) - 1, -1, 0, 1]
    a, b = np.array(list(itertools.product(corners, repeat=2))).T
    dut = Multiplier(18, 18, block=block)
    seen = cycles(dut, {"a": a, "b": b}, ["p"], len(a) + dut.latency)["p"]
    np.testing.assert_array_equal(seen[dut.latency :], a * b)
