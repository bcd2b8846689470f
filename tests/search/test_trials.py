import math

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.quantize import make_plan, round_network
from deltaloom.compiler.recipe import Recipe
from deltaloom.model import QuantizedModel
from deltaloom.search.paths import ACTIVATIONS, Part, widened
from deltaloom.search.trials import Trials, keep_thresholds


def make_trials(network, calibration, loss=None):
    return Trials(network, calibration, loss, QuantizedModel)


@pytest.fixture
def case(float_network):
    network = float_network(LSTM(2, 3), Linear(3, 2))
    return network, np.random.default_rng(1).normal(size=(3, 25, 2))


def test_quantizes_as_without_a_shared_calibration(case):
    network, x = case
    trials = make_trials(network, x)
    for recipe in (Recipe(), Recipe("int4", "int6"), Recipe("ternary", clip="minmax")):
        wanted = QuantizedModel(round_network(make_plan(network, x, recipe)))
        found = trials.model(recipe)
        np.testing.assert_array_equal(found.integer(x), wanted.integer(x))
        assert found.recipe == recipe


def test_error_against_the_float_outputs(case):
    network, x = case
    trials = make_trials(network, x)
    model = trials.model(Recipe())
    wanted = evaluate(network, x)
    noise = np.mean((model(x) - wanted) ** 2)
    assert trials.error(model) == pytest.approx(10 * math.log10(np.mean(wanted**2) / noise))


def test_float_model_is_called_as_quantized_ones_are(case):
    network, x = case
    seen = []
    trials = make_trials(network, x, lambda model: seen.append(model(list(x))) or 1.5)
    assert trials.float_loss == 1.5
    np.testing.assert_array_equal(seen[0], list(evaluate(network, x)))


@pytest.mark.parametrize("loss", [math.nan, math.inf, None, "1", True, np.zeros(2)])
def test_refuses_losses_that_are_no_numbers(case, loss):
    trials = make_trials(*case, lambda model: loss)
    with pytest.raises(DeltaloomError) as error:
        _ = trials.float_loss
    assert str(error.value) == f"Evaluate must return a finite number, not {loss!r}"


def test_refuses_what_is_no_function(case):
    with pytest.raises(TypeError, match=r"^Evaluate must be a function of a model, not 3$"):
        make_trials(*case, 3)


def test_thresholds_stay_as_large(float_network):
    """h becomes finer and counts its threshold in finer places; x keeps its own."""
    network = float_network(GRU(3, 4))
    x = np.random.default_rng(2).normal(size=(2, 30, 3))
    trials = make_trials(network, x)
    recipe = Recipe("int8", "int6", skip="delta", theta=5)
    wide = widened(recipe, network, [Part("l.0.h", ACTIVATIONS)])
    before, after = trials.plan(recipe), trials.plan(wide)
    found = keep_thresholds(wide, before, after)
    steps = [plan.cells["l.0"].operands["h"].frac for plan in (before, after)]
    assert steps[1] > steps[0]
    assert found.theta == {"l.0": {"x": 5, "h": 5 << (steps[1] - steps[0])}}


def test_without_thresholds_the_recipe_is_the_same(case):
    trials = make_trials(*case)
    for recipe in (Recipe(), Recipe(skip="delta"), Recipe(skip="zero")):
        plan = trials.plan(recipe)
        assert keep_thresholds(recipe, plan, plan) is recipe


def test_columns_that_are_left_out(float_network):
    """A constant input is new in the first of five timesteps alone."""
    x = np.ones((2, 5, 3))
    trials = make_trials(float_network(Linear(3, 2)), x)
    model = trials.model(Recipe(skip="delta"))
    assert trials.eliminated(model) == {"l.0.x": pytest.approx(4 / 5)}
