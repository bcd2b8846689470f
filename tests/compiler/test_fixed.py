import itertools
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format, requantize, width_for

FORMATS = [
    Format(width, frac, signed)
    for width, frac, signed in itertools.product((1, 2, 5, 8), (-2, 0, 3, 9), (True, False))
]


@pytest.mark.parametrize("source", FORMATS, ids=str)
def test_requantize_is_exact_rounding_and_saturation(source):
    codes = range(source.min, source.max + 1)
    for target in FORMATS:
        want = []
        for code in codes:
            real = code * Fraction(2) ** (target.frac - source.frac)
            want.append(min(max(floor(real + Fraction(1, 2)), target.min), target.max))
        got = requantize(np.array(codes), source, target)
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, want)


def test_rounds_halves_up():
    got = requantize(np.array([-3, -2, -1, 0, 1, 2, 3]), Format(4, 1), Format(4, 0))
    assert got.tolist() == [-1, -1, 0, 0, 1, 1, 2]


def test_a_long_left_shift_does_not_wrap():
    got = requantize(np.array([-(1 << 40), -1, 0, 1, 1 << 40]), Format(48, 0), Format(16, 31))
    assert got.tolist() == [-32768, -32768, 0, 32767, 32767]


@pytest.mark.parametrize("bits", [Format(8, 3), Format(8, 3, signed=False), Format(1, 0)], ids=str)
def test_limits(bits):
    assert bits.max - bits.min + 1 == 1 << bits.width
    assert (bits.min < 0) == bits.signed
    assert bits.holds(np.array([bits.min, bits.max]))
    assert not bits.holds(np.array([bits.min - 1]))
    assert not bits.holds(np.array([0, bits.max + 1]))


def test_quantize_and_back():
    bits = Format(4, 1)
    real = np.array([-100, -4.0, -0.26, -0.25, 0.24, 0.25, 3.4, 3.5, 9])
    assert bits.quantize(real).tolist() == [-8, -8, -1, 0, 0, 1, 7, 7, 7]
    codes = np.arange(bits.min, bits.max + 1)
    np.testing.assert_array_equal(bits.quantize(bits.dequantize(codes)), codes)
    assert bits.scale == 0.5
    assert [str(bits), str(Format(4, -1, signed=False))] == ["s4.1", "u4.-1"]


def test_width_for():
    for low, high in itertools.combinations_with_replacement(range(-20, 20), 2):
        width = width_for(low, high)
        assert Format(width, 0).holds(np.array([low, high]))
        assert width == 1 or not Format(width - 1, 0).holds(np.array([low, high]))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0, 1), "^Format width must be a positive integer, not 0$"),
        (("8", 1), "^Format width must be a positive integer, not '8'$"),
        ((8, 1.0), r"^Format frac must be an integer, not 1\.0$"),
    ],
)
def test_refuses(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Format(*arguments)
