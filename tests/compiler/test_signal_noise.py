import math

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.signal_noise import signal_to_noise


def test_ratio_of_powers():
    assert signal_to_noise(np.array([[3.0, -4.0]]), np.array([[3.5, -4.0]])) == pytest.approx(20)


def test_sequences_are_one_signal():
    parts = [np.array([[3.0]]), np.array([[-4.0], [0.0]])]
    assert signal_to_noise(parts, [parts[0] + 0.5, parts[1]]) == pytest.approx(20)


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_rounding_to_a_grid(bits):
    """Rounding alone errs uniformly within a step: by a twelfth of its square."""
    format = Format(bits, bits - 1)
    values = np.random.default_rng(0).uniform(-1, 1 - 2.0**-format.frac, 100_000)
    found = signal_to_noise(values, format.dequantize(format.quantize(values)))
    expected = 10 * math.log10(np.mean(values**2) * 12 * 4.0**format.frac)
    assert found == pytest.approx(expected, abs=0.05)


def test_extremes():
    assert signal_to_noise(np.zeros(3), np.zeros(3)) == math.inf
    assert signal_to_noise(np.zeros(3), np.ones(3)) == -math.inf


def test_integers_do_not_wrap():
    wide = np.array([1 << 40])
    assert signal_to_noise(wide, wide + (1 << 39)) == pytest.approx(10 * math.log10(4))


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"^Values must have the reference's shape \(2,\), not"):
        signal_to_noise(np.zeros(2), np.zeros((1, 2)))
