import time

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.functions import function_of
from deltaloom.compiler.pwl import (
    MAX_WORD,
    PiecewiseLinear,
    table_error,
    worst_error,
)
from deltaloom.compiler.pwl_adaptive import fit_adaptive
from deltaloom.compiler.pwl_uniform import fit


def source_format(function, width):
    return function_of(function).source(Format(width, 0))


REAL = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}


def result_format(width):
    return Format(width, width - 1)


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize("width", range(2, 19))
def test_meets_its_budget_on_every_input(function, width):
    source, target = source_format(function, width), result_format(width)
    budget = 1 if width <= 8 else 2
    table = fit(function, source, target, budget=budget)
    codes = np.arange(source.min, source.max + 1)
    got = table(codes)
    assert target.holds(got)
    distance = np.abs(got - REAL[function](codes * source.scale) * 2.0**target.frac)
    assert distance.max() <= budget
    assert worst_error(table) == pytest.approx(distance.max(), abs=1e-9)
    error = table_error(table)
    assert error.mean == pytest.approx(distance.mean(), abs=1e-9)
    assert error.rms == pytest.approx(np.sqrt((distance**2).mean()), abs=1e-9)
    assert table.base_width + table.slope_width <= MAX_WORD
    assert table.bounds == (got.min(), got.max())


@pytest.mark.parametrize(
    ("function", "width", "segments", "word"),
    [("sigmoid", 16, 512, (22, 10)), ("tanh", 16, 512, (24, 12)), ("tanh", 12, 128, (20, 12))],
)
def test_words_are_as_narrow_as_the_budget_allows(function, width, segments, word):
    table = fit(function, source_format(function, width), result_format(width), budget=2)
    assert len(table.base) == segments
    assert (table.base_width, table.slope_width) == word


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_half_as_many_segments_miss_the_budget(function):
    source, target = source_format(function, 16), result_format(16)
    assert worst_error(fit(function, source, target, segments=256)) > 2


@pytest.mark.parametrize("segments", [1, 2, 4, 8])
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_a_coarse_table_still_stays_within_its_target(function, segments):
    for width in (3, 8, 16):
        source, target = source_format(function, width), result_format(8)
        table = fit(function, source, target, segments=segments)
        codes = np.arange(source.min, source.max + 1)
        assert len(table.base) == segments
        assert target.holds(table(codes))


def test_one_segment_a_code_rounds_to_nearest():
    source, target = Format(6, 2), Format(8, 6)
    table = fit("tanh", source, target, segments=64)
    codes = np.arange(-32, 32)
    exact = np.tanh(codes / 4) * 64
    assert np.abs(table(codes) - exact).max() <= 0.5


def test_computes_line_by_segment():
    """Two segments of [-2, 2): 4 - 1 * offset for 0 and 1, 8 + 2 * offset for -2 and -1."""
    table = PiecewiseLinear(
        "tanh", Format(2, 0), Format(8, 0), np.array([4, 8]), np.array([-1, 2]), 1
    )
    np.testing.assert_array_equal(table(np.array([0, 1, -2, -1])), [2, 1, 4, 5])
    assert table.bounds == (1, 5)
    assert (table.base_width, table.slope_width) == (5, 3)


def test_is_odd_about_zero_within_the_budget():
    table = fit("tanh", source_format("tanh", 16), result_format(16), budget=2)
    codes = np.arange(1, 1 << 15)
    assert np.abs(table(codes) + table(-codes)).max() <= 4
    assert abs(int(table(np.array(0)))) <= 2


def test_is_cached_and_read_only():
    source, target = source_format("tanh", 12), result_format(12)
    table = fit("tanh", source, target, budget=2)
    assert fit("tanh", source, target, budget=2) is table
    with pytest.raises(ValueError, match="read-only"):
        table.base[0] = 1


def test_is_fast():
    start = time.process_time()
    fit.__wrapped__("tanh", source_format("tanh", 16), result_format(16), budget=2)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"budget": 0.1}, "Budget must be at least 1 units of s8.7 for tanh of s8.4, not 0.1"),
        ({"segments": 3}, "Segments must be a power of two up to 256, not 3"),
        ({"segments": 512}, "Segments must be a power of two up to 256, not 512"),
        ({"segments": 0}, "Segments must be a power of two up to 256, not 0"),
        ({}, "Either segments or budget must be given"),
        ({"segments": 4, "budget": 1}, "Either segments or budget must be given"),
    ],
)
def test_refuses(arguments, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        fit("tanh", Format(8, 4), Format(8, 7), **arguments)
    assert str(error.value) == sentence


def test_refuses_unknown_functions_and_wide_sources():
    with pytest.raises(ValueError, match="Function must be one of abs, relu, .*, not 'sine'"):
        fit("sine", Format(8, 4), Format(8, 7), budget=1)
    with pytest.raises(ValueError, match="Source must have at most 18 bits, not 19"):
        fit("tanh", Format(19, 4), Format(8, 7), budget=1)


@pytest.mark.parametrize("criterion", ["largest", "squares"])
@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize("width", [3, 8, 11, 16])
def test_adaptive_segments_beat_as_many_uniform_ones(function, width, criterion):
    source, target = source_format(function, width), result_format(width)
    for segments in (4, 16, 64):
        if segments > 1 << width:
            continue
        adaptive = fit_adaptive(function, source, target, segments=segments, criterion=criterion)
        uniform = fit(function, source, target, segments=segments)
        assert len(adaptive.base) == segments == len(adaptive.knots) + 1
        assert worst_error(adaptive) <= max(1.0, worst_error(uniform))


def test_adaptive_results_from_their_definition():
    """The last knot that an input has reached decides; in exact integers."""
    source, target = source_format("tanh", 8), result_format(8)
    table = fit_adaptive("tanh", source, target, segments=7)
    knots, base, slope = table.knots.tolist(), table.base.tolist(), table.slope.tolist()
    for code in range(source.min, source.max + 1):
        segment = sum(code >= knot for knot in knots)
        assert table(np.array(code)) == (base[segment] + slope[segment] * code) >> table.shift
    codes = np.arange(source.min, source.max + 1)
    assert table.bounds == (table(codes).min(), table(codes).max())


@pytest.mark.parametrize("budget", [1.0, 2.5, 30.0])
def test_fewest_adaptive_segments_within_a_budget(budget):
    source, target = source_format("sigmoid", 10), result_format(10)
    table = fit_adaptive("sigmoid", source, target, budget=budget)
    assert worst_error(table) <= budget
    fewer = fit_adaptive("sigmoid", source, target, segments=len(table.base) - 1)
    assert worst_error(fewer) > budget


def test_every_code_may_be_a_knot():
    source, target = source_format("tanh", 4), result_format(4)
    table = fit_adaptive("tanh", source, target, segments=16)
    assert table.knots.tolist() == list(range(-7, 8))
    one = fit_adaptive("tanh", source, target, segments=1)
    assert one.knots.tolist() == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"segments": 0}, "Segments must be from 1 to 64, not 0"),
        ({"segments": 65}, "Segments must be from 1 to 64, not 65"),
        ({"budget": 0.1}, "Budget must be at least [0-9.]+ units of s8.7 for tanh of s8.4 with "),
        ({}, "Either segments or budget must be given"),
        (
            {"segments": 4, "criterion": "mean"},
            "Criterion must be one of largest, squares, not 'mean'",
        ),
    ],
)
def test_refuses_adaptive_goals(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_adaptive("tanh", source_format("tanh", 8), result_format(8), **options)


@pytest.mark.parametrize("kind", [fit, fit_adaptive])
def test_results_of_all_codes_are_those_of_each(kind):
    table = kind("tanh", Format(7, 3), Format(6, 5), segments=8)
    codes = np.arange(table.source.min, table.source.max + 1)
    np.testing.assert_array_equal(table.results.take(codes, mode="wrap"), table(codes))
