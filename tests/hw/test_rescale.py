# amaranth: UnusedElaboratable=no

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from deltaloom.compiler.fixed import Format, requantize
from deltaloom.hw.rescale import Rescale, shape_of

SOURCES = [Format(8, 4), Format(1, 0), Format(2, 3), Format(9, -2), Format(7, 5, signed=False)]
TARGETS = [
    Format(width, frac, is_signed)
    for width in (1, 2, 4, 8, 11)
    for frac in (-3, 0, 3, 4, 7)
    for is_signed in (True, False)
]


def codes(format):
    return np.arange(format.min, format.max + 1)


def results(cycles, dut, values):
    seen = cycles(dut, {"i": values}, ["o"], len(values) + dut.latency)["o"]
    return seen[dut.latency :]


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_every_input(cycles, source, target):
    values = codes(source)
    got = results(cycles, Rescale(source, target), values)
    np.testing.assert_array_equal(got, requantize(values, source, target))


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_what_is_cut_off(cycles, source, target):
    values = codes(source)
    dut = Rescale(source, target, counts=True)
    cut = cycles(dut, {"i": values}, ["cut"], len(values) + dut.latency)["cut"][dut.latency :]
    exact = np.floor(np.ldexp(values.astype(float), target.frac - source.frac) + 0.5)
    np.testing.assert_array_equal(cut, (exact < target.min) | (exact > target.max))


@pytest.mark.parametrize("target", TARGETS[::3], ids=str)
def test_half_is_part_of_the_input(cycles, target):
    """As behind the bias memory: the input is the value plus half, a bit wider."""
    source, wider = Format(8, 4), Format(10, 4)
    shift = source.frac - target.frac
    half = 1 << (shift - 1) if shift > 0 else 0
    values = codes(source)
    got = results(cycles, Rescale(wider, target, rounded=True), values + half)
    np.testing.assert_array_equal(got, requantize(values, source, target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Format(48, 40), Format(16, 15)),
        (Format(48, 1), Format(16, 15)),
        (Format(34, 33), Format(16, 2)),
    ],
    ids=str,
)
def test_wide_values(cycles, source, target):
    rng = np.random.default_rng(0)
    shift = max(0, source.frac - target.frac)
    edges = np.array([target.min, target.max, -1, 0, 1]) << shift
    near = (edges[:, None] + (1 << shift >> 1) + np.arange(-2, 3)).ravel()
    near = near[(near >= source.min) & (near <= source.max)]
    random = rng.integers(source.min, source.max + 1, 200) >> rng.integers(0, source.width, 200)
    values = np.concatenate([near, random, [source.min, source.max]])
    got = results(cycles, Rescale(source, target), values)
    np.testing.assert_array_equal(got, requantize(values, source, target))


def test_latency(cycles):
    dut = Rescale(Format(10, 4), Format(8, 2))
    seen = cycles(dut, {"i": [0, 0, 100, 0]}, ["o"], 8)["o"]
    assert seen.index(25) == 2 + dut.latency


def test_shape():
    assert shape_of(Format(4, 0)) == signed(4)
    assert Shape.cast(shape_of(Format(4, 0, signed=False))) == unsigned(4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((8, Format(8, 0)), r"^Source must be a Format, not 8$"),
        ((Format(8, 0), "s8.0"), r"^Target must be a Format, not 's8\.0'$"),
    ],
)
def test_refuses(arguments, sentence):
    with pytest.raises(TypeError, match=sentence):
        Rescale(*arguments)
