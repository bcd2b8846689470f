import numpy as np
import pytest

from deltaloom.hw.scalar_multiplier import ScalarMultiplier


@pytest.mark.parametrize(
    ("a_width", "b_width"), [(1, 1), (5, 17), (17, 18), (18, 30), (36, 36), (43, 11), (60, 2)]
)
def test_products(cycles, a_width, b_width):
    rng = np.random.default_rng(0)

    def operands(width):
        low, high = -(1 << width - 1), (1 << width - 1) - 1
        return [low, low, high, high, 0, *rng.integers(low, high, 60, endpoint=True).tolist()]

    a, b = operands(a_width), operands(b_width)
    b = b[::-1] + b
    a = a + a
    dut = ScalarMultiplier(a_width, b_width)
    seen = cycles(dut, {"a": a, "b": b}, ["p"], len(a) + dut.latency)["p"]
    assert seen[dut.latency :] == [x * y for x, y in zip(a, b, strict=True)]
