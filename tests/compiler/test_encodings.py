import numpy as np
import pytest

from deltaloom.compiler.encodings import ENCODINGS, UNIT_MULTIPLIER, Integers, WeightFormat
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.packing import pack, unpack

LEVELS = {
    "binary": [-1, 1],
    "ternary": [-1, 0, 1],
    "quaternary": [-2, -1, 1, 2],
    "shift2": [-2, -1, 1, 2],
    "shift3": [-8, -4, -2, -1, 1, 2, 4, 8],
    "shift4": [-128, -64, -32, -16, -8, -4, -2, -1, 1, 2, 4, 8, 16, 32, 64, 128],
    "int2": [-2, -1, 0, 1],
    "int3": [-4, -3, -2, -1, 0, 1, 2, 3],
}
BITS = {"binary": 1, "ternary": 2, "quaternary": 2, "shift2": 2, "shift3": 3, "shift4": 4}
BITS |= {f"int{bits}": bits for bits in range(2, 17)}


def test_every_encoding_and_its_bits():
    assert {name: encoding.bits for name, encoding in ENCODINGS.items()} == BITS
    for name, levels in LEVELS.items():
        np.testing.assert_array_equal(ENCODINGS[name].levels, levels)


@pytest.mark.parametrize("name", ENCODINGS)
def test_codes_come_back_through_their_bits(name):
    encoding = ENCODINGS[name]
    codes = encoding.codes(encoding.levels)
    assert codes.dtype == np.int64
    assert len(set(codes.tolist())) == len(codes)
    stored = unpack(pack(codes, encoding.bits), encoding.bits, codes.shape)
    np.testing.assert_array_equal(stored, codes)
    np.testing.assert_array_equal(encoding.integers(codes), encoding.levels)


def test_codes_by_hand():
    """A sign above an exponent: -8 is 1 11, 4 is 0 10."""
    np.testing.assert_array_equal(
        ENCODINGS["shift3"].codes(np.array([-8, 4, 1, -1])), [-1, 2, 0, -4]
    )
    np.testing.assert_array_equal(ENCODINGS["binary"].codes(np.array([-1, 1])), [-1, 0])


@pytest.mark.parametrize("name", ENCODINGS)
def test_nearest_level(name):
    encoding = ENCODINGS[name]
    reach = float(encoding.levels[-1]) * 1.3
    values = np.random.default_rng(0).uniform(-reach, reach, (7, 11))
    got = encoding.nearest(values)
    if encoding.bits < 9:
        distances = abs(values[..., None] - encoding.levels)
        np.testing.assert_array_equal(abs(values - got), distances.min(axis=-1))
    assert encoding.holds(got)
    halfway = encoding.thresholds[:: max(1, len(encoding.thresholds) // 50)]
    np.testing.assert_array_equal(
        encoding.nearest(halfway), encoding.levels[np.searchsorted(encoding.levels, halfway)]
    )


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_integers_are_rounded_as_formats_round(bits):
    values = np.random.default_rng(bits).normal(size=500) * 3
    format = WeightFormat(ENCODINGS[f"int{bits}"], bits - 3)
    np.testing.assert_array_equal(format.quantize(values), Format(bits, bits - 3).quantize(values))
    assert format.format == Format(bits, bits - 3)


@pytest.mark.parametrize("name", ["binary", "ternary", "quaternary", "shift3", "shift4", "int3"])
def test_stochastic_rounding_keeps_the_mean(name):
    """40,000 draws of each value: six standard deviations of their mean."""
    encoding = ENCODINGS[name]
    low, high = int(encoding.levels[0]), int(encoding.levels[-1])
    values = np.concatenate([np.linspace(low, high, 23), encoding.levels, [low * 2, high * 2]])
    drawn = encoding.stochastic(np.tile(values, (40_000, 1)), np.random.default_rng(0))
    assert encoding.holds(drawn)
    wanted = np.clip(values, low, high)
    gaps = drawn.max(axis=0) - drawn.min(axis=0)
    assert (abs(drawn.mean(axis=0) - wanted) <= 6 * 0.5 * gaps / 200).all()
    neighbours = np.searchsorted(encoding.levels, [drawn.min(axis=0), drawn.max(axis=0)])
    assert (neighbours[1] - neighbours[0] <= 1).all()
    np.testing.assert_array_equal(drawn[0, 23:], np.clip(values[23:], low, high))


def test_scale():
    """Ternary weights in units of 1.5 / 4."""
    format = WeightFormat(ENCODINGS["ternary"], 2, UNIT_MULTIPLIER * 3 // 2)
    assert format.scale == 0.375
    assert format.format == Format(2, 2)
    integers = format.quantize(np.array([-1.0, -0.2, -0.18, 0.0, 0.18, 0.19]))
    np.testing.assert_array_equal(integers, [-1, -1, 0, 0, 0, 1])
    np.testing.assert_array_equal(format.dequantize(integers)[:2], [-0.375, -0.375])


def test_what_levels_hold():
    assert not ENCODINGS["binary"].holds(np.array([1, 0]))
    assert not ENCODINGS["ternary"].holds(np.array([[-2]]))
    assert not ENCODINGS["shift3"].holds(np.array([3]))
    assert ENCODINGS["shift3"].holds(np.array([-8, 8]))
    assert Integers.of(4) == ENCODINGS["int4"]
