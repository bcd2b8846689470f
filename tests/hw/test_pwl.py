# amaranth: UnusedElaboratable=no

import numpy as np
import pytest
from amaranth.back import rtlil

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.functions import function_of
from deltaloom.compiler.pwl import PiecewiseLinear
from deltaloom.compiler.pwl_adaptive import fit_adaptive
from deltaloom.compiler.pwl_corners import fit_corners
from deltaloom.compiler.pwl_uniform import fit
from deltaloom.hw.pwl import Activation, line_layout


def source_format(function, width):
    return function_of(function).source(Format(width, 0))


def table(function, width, segments=None):
    target = Format(width, width - 1)
    choice = {"segments": segments} if segments else {"budget": 1 if width <= 8 else 2}
    return fit(function, source_format(function, width), target, **choice)


def results(cycles, table, codes):
    dut = Activation(table)
    return cycles(dut, {"i": codes}, ["o"], len(codes) + dut.latency)["o"][dut.latency :]


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize("width", [4, 8, 12])
def test_every_code(cycles, function, width):
    activation = table(function, width)
    codes = np.arange(activation.source.min, activation.source.max + 1)
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


@pytest.mark.parametrize("segments", [1, 2, 64], ids="{} segments".format)
def test_one_line_or_one_a_code(cycles, segments):
    activation = table("tanh", 6, segments)
    codes = np.arange(activation.source.min, activation.source.max + 1)
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_sixteen_bits(cycles, function):
    """Both ends of every segment, and random codes; the slow test takes all."""
    activation = table(function, 16)
    ends = np.arange(activation.source.min, activation.source.max + 1, 1 << activation.offset_bits)
    random = np.random.default_rng(0).integers(activation.source.min, activation.source.max, 500)
    codes = np.concatenate([ends, ends + (1 << activation.offset_bits) - 1, random])
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


@pytest.mark.slow
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_every_code_of_sixteen_bits(cycles, function):
    activation = table(function, 16)
    codes = np.arange(activation.source.min, activation.source.max + 1)
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


@pytest.mark.parametrize("segments", [1, 2, 7, 16, 64], ids="{} segments".format)
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_between_knots(cycles, function, segments):
    activation = fit_adaptive(function, source_format(function, 9), Format(9, 8), segments=segments)
    codes = np.arange(activation.source.min, activation.source.max + 1)
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


def test_between_knots_of_sixteen_bits(cycles):
    """On both sides of every knot, and random codes."""
    activation = fit_adaptive("tanh", source_format("tanh", 16), Format(16, 15), segments=33)
    ends = np.concatenate([activation.knots - 1, activation.knots, [-(1 << 15), (1 << 15) - 1]])
    random = np.random.default_rng(0).integers(activation.source.min, activation.source.max, 500)
    codes = np.concatenate([ends, random])
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


def test_knots_anywhere(cycles):
    """Zero is a multiple of everything, an odd knot of one alone."""
    for knots in ([0], [-3, 0, 5], [-8, -4, 4]):
        count = len(knots) + 1
        lines = np.arange(count) * 7 - 9, np.arange(count) - 1
        activation = PiecewiseLinear("tanh", Format(5, 0), Format(8, 0), *lines, 0, np.array(knots))
        codes = np.arange(-16, 16)
        np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


PIECES = [
    "leaky_relu(0.01)",
    "leaky_relu(0.25)",
    "leaky_relu(-0.5)",
    "hard_tanh(-1.0, 1.0)",
    "hard_tanh(-0.3, 0.7)",
    "hard_sigmoid(0.2, 0.5)",
    "hard_sigmoid(0.25, 0.5)",
    "soft_shrink(0.5)",
    "linear(0.5, -1.0)",
]


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize(("width", "frac"), [(9, 6), (4, 1), (10, 9)])
def test_pieces_of_functions(cycles, name, width, frac):
    function, calibrated = function_of(name), Format(width, frac)
    source = function.source(calibrated)
    activation = fit_corners(function, source, function.target(source, calibrated))
    codes = np.arange(source.min, source.max + 1)
    np.testing.assert_array_equal(results(cycles, activation, codes), activation(codes))


@pytest.mark.parametrize("name", PIECES)
def test_slopes_of_powers_of_two_take_no_multiplier(name):
    function, calibrated = function_of(name), Format(16, 12)
    source = function.source(calibrated)
    activation = fit_corners(function, source, function.target(source, calibrated))
    text = rtlil.convert(Activation(activation), emit_src=False)
    assert ("$mul" in text) != activation.shifts
    powers = ("leaky_relu(0.25)", "leaky_relu(-0.5)", "hard_tanh", "hard_sigmoid(0.25", "soft")
    assert activation.shifts == name.startswith((*powers, "linear"))


@pytest.mark.parametrize("knots", [None, np.array([3])], ids=["uniform", "adaptive"])
def test_latency(cycles, knots):
    activation = table("tanh", 8)
    if knots is not None:
        lines = np.array([5, -7]), np.array([1, 2])
        activation = PiecewiseLinear("tanh", Format(8, 4), Format(16, 7), *lines, 0, knots)
    dut = Activation(activation)
    before, after = activation(np.array([-100, 90])).tolist()
    seen = cycles(dut, {"i": [-100] * 10 + [90]}, ["o"], 20)["o"]
    assert seen[9 : 10 + dut.latency] == [before] * (dut.latency + 1)
    assert seen[10 + dut.latency :] == [after] * (10 - dut.latency)


def test_a_result_may_be_wider_than_base_and_product(cycles):
    source, target = Format(3, 0), Format(9, 0)
    lines = np.array([127, -128]), np.array([1, -1])
    activation = PiecewiseLinear("tanh", source, target, *lines, 0)
    codes = np.arange(-4, 4)
    want = [-128, -129, -130, -131, 127, 128, 129, 130]
    np.testing.assert_array_equal(activation(codes), want)
    np.testing.assert_array_equal(results(cycles, activation, codes), want)


def test_line_has_no_spare_bit():
    line = PiecewiseLinear(
        "tanh", Format(4, 0), Format(8, 0), np.array([-9, 7]), np.array([0, 3]), 1
    )
    layout = line_layout(line)
    assert (layout["base"].width, layout["slope"].width) == (5, 3)
