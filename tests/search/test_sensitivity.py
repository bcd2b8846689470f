import json
import math

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.clipping import least_squares_format
from deltaloom.compiler.network import Layer, Network
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.signal_noise import signal_to_noise
from deltaloom.model import QuantizedModel
from deltaloom.search.sensitivity import measure_sensitivity
from deltaloom.search.trials import Trials


def by_name(found):
    return {str(row.part): row for row in found.rows}


def test_each_part_alone(float_network):
    """The error of a layer's output is its input's where the weights are exact, and vice versa."""
    rng = np.random.default_rng(0)
    network = float_network(Linear(3, 3))
    (layer,) = network.layers
    graph = layer.graph
    x = rng.choice([-0.875, 0.25, 0.5, 0.9375], size=(2, 40, 3))  # exact in 16 bits, not in 3
    key = next(name for name in layer.parameters if "." in name)
    bias = key.split(".")[0]
    weights = np.diag([1.0, 0.5, 0.25])
    exact = Network((Layer("l.0", "Linear", graph, {key: weights, bias: np.zeros(3)}),))
    trials = Trials(exact, x, None, QuantizedModel)
    rows = by_name(measure_sensitivity(trials, Recipe("int4", "int3"), lambda text: None))
    values = x.reshape(-1)
    format = least_squares_format(values, None, 3, "x")
    rounded = format.dequantize(format.quantize(x))
    expected = signal_to_noise(x @ weights, rounded @ weights)
    assert rows["l.0.x activations"].error == pytest.approx(expected, abs=0.01)
    assert rows["l.0.x weights"].error > 80  # four bits hold these weights


def test_most_sensitive_first(float_network):
    network = float_network(GRU(2, 5), Linear(5, 2))
    x = np.random.default_rng(3).normal(size=(2, 40, 2))
    recipe = Recipe("int8", "int8", paths={"l.0.h": {"activations": "int2"}}, skip="delta", theta=9)
    said = []
    found = measure_sensitivity(Trials(network, x, None, QuantizedModel), recipe, said.append)
    assert str(found.rows[0].part) == "l.0.h activations"
    assert found.rows[0].widths == ("int2",)
    errors = [row.error for row in found.rows]
    assert errors == sorted(errors)
    assert found.wide_error > 60 > errors[-1] > found.recipe_error
    assert found.rows[0].loss is found.float_loss is found.wide_loss is None
    assert len(said) == len(found.rows) + 2
    assert said[0].startswith("Sensitivity, 1 of 8: l.0.x activations ")


def test_losses_come_before_errors(float_network):
    network = float_network(GRU(2, 5), Linear(5, 2))
    x = np.random.default_rng(3).normal(size=(2, 20, 2))
    calls = []

    def loss(model):
        calls.append(model)
        if not isinstance(model, QuantizedModel):
            return 0.25
        operand = model.network.layers[1].operands[0]
        return 0.5 if operand.format.width == 16 else 0.75

    found = measure_sensitivity(Trials(network, x, loss, QuantizedModel), Recipe(), calls.append)
    assert str(found.rows[0].part) == "l.1.x activations"
    assert [row.loss for row in found.rows] == [0.75] + [0.5] * 5
    assert (found.float_loss, found.wide_loss, found.recipe_loss) == (0.25, 0.5, 0.75)
    assert sum(callable(call) for call in calls) == 9  # six parts, recipe, 16 bits, float


def test_table_and_json(float_network):
    network = float_network(Linear(2, 2))
    x = np.zeros((1, 3, 2))
    x[0, 0] = 1.0
    trials = Trials(network, x, lambda model: 1.5, QuantizedModel)
    found = measure_sensitivity(trials, Recipe("int4", "int4"), lambda text: None)
    lines = str(found).splitlines()
    assert lines[0].split() == ["path", "what", "width", "error,", "dB", "loss"]
    assert [line.split()[0] for line in lines[1:]] == ["l.0.x", "l.0.x", "all", "all", "all"]
    assert lines[-1].split() == ["all", "float", "inf", "1.5"]
    assert len({line.rindex(line.split()[-1]) for line in lines}) == 1
    data = json.loads(found.to_json())
    assert [row["path"] for row in data["paths"]] == ["l.0.x", "l.0.x"]
    assert {row["what"] for row in data["paths"]} == {"activations", "weights"}
    assert data["float"] == {"loss": 1.5}
    assert data["paths"][0]["widths"] == ["int4"]
    assert all(math.isfinite(row["error_db"]) for row in data["paths"])
