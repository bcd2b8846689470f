import itertools

import numpy as np
import pytest

from deltaloom.compiler.fixed import width_for
from deltaloom.hw.lane_plan import ShiftCode
from deltaloom.hw.lane_products import DualMultiplier, ShiftProduct


def integers(width):
    return range(-(1 << (width - 1)), 1 << (width - 1))


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("exponent_bits", [0, 1, 2, 3])
def test_every_product_of_a_shift(cycles, exponent_bits, zero):
    code = ShiftCode(exponent_bits, zero)
    assert code.bits == 1 + exponent_bits + zero
    weights = np.array([s << e for e in range(1 << exponent_bits) for s in (1, -1)] + [0] * zero)
    weight, factor = np.array(list(itertools.product(weights, integers(5)))).T
    dut = ShiftProduct(code, 5)
    inputs = {"weight": code.codes(weight), "factor": factor}
    seen = cycles(dut, inputs, ["p", "carry"], len(weight) + dut.latency)
    found = np.array(seen["p"]) + seen["carry"]
    np.testing.assert_array_equal(found[dut.latency :], weight * factor)


@pytest.mark.parametrize("widths", [(1, 1), (2, 2), (2, 4), (4, 2), (4, 4)])
def test_every_pair_of_products(cycles, widths):
    combined = itertools.product(*map(integers, (*widths, 4)))
    w0, w1, factor = np.array(list(combined)).T
    bound = 1 << (widths[0] + 2)
    dut = DualMultiplier(widths, 4, width_for(-bound, bound))
    inputs = {"w0": w0, "w1": w1, "factor": factor}
    seen = cycles(dut, inputs, ["p0", "p1", "carry"], len(w0) + dut.latency)
    seen = {name: np.array(values)[dut.latency :] for name, values in seen.items()}
    np.testing.assert_array_equal(seen["p0"], w0 * factor)
    np.testing.assert_array_equal(seen["p1"] + seen["carry"], w1 * factor)


def test_extremes_of_the_widest_pair(cycles):
    """Two weights of 4 bits and differences of 9, which fill the operand."""
    extremes = (-8, -1, 0, 1, 7)
    combined = itertools.product(extremes, extremes, (-255, -254, -1, 0, 1, 254, 255))
    w0, w1, factor = np.array(list(combined)).T
    dut = DualMultiplier((4, 4), 9, width_for(-8 * 255, 8 * 255))
    inputs = {"w0": w0, "w1": w1, "factor": factor}
    seen = cycles(dut, inputs, ["p0", "p1", "carry"], len(w0) + dut.latency)
    seen = {name: np.array(values)[dut.latency :] for name, values in seen.items()}
    np.testing.assert_array_equal(seen["p0"], w0 * factor)
    np.testing.assert_array_equal(seen["p1"] + seen["carry"], w1 * factor)
