from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, LayerNormLSTM, LiGRU, Linear, PeepholeLSTM, ReluRNN
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.functions import Function
from deltaloom.compiler.network import Network
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim.reference import alone, parts_of, reference_network

NETWORKS = [
    (LSTM(3, 5),),
    (GRU(3, 4), "last", Linear(4, 2)),
    (LiGRU(3, 5), LSTM(5, 3)),
    (PeepholeLSTM(3, 4),),
    (ReluRNN(3, 4), Linear(4, 3, "gelu")),
    (LayerNormLSTM(3, 4),),
]
RECIPES = [Recipe(), Recipe("ternary", "int5", scale="real", elementwise=12)]


def data(batch=3, time=11):
    return np.random.default_rng(0).normal(size=(batch, time, 3)).cumsum(axis=1) * 0.3


@pytest.mark.parametrize("parts", NETWORKS)
@pytest.mark.parametrize("recipe", RECIPES, ids=["integers", "real scales"])
def test_computes_what_the_float_model_does(float_network, parts, recipe):
    model, x = float_network(*parts), data()
    network = quantize(model, x, recipe)
    found = evaluate(reference_network(network, model), x)
    np.testing.assert_allclose(found, evaluate(model, x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("parts", NETWORKS[:4])
def test_without_a_float_model_it_has_the_weights_of_the_integers(float_network, parts):
    """16-bit weights are the float ones but for half a last place."""
    model, x = float_network(*parts), data()
    network = quantize(model, x, Recipe("int16", "int4"))
    found = evaluate(reference_network(network), x)
    np.testing.assert_allclose(found, evaluate(model, x), atol=2e-3)
    assert (found != evaluate(model, x)).any()


@pytest.mark.parametrize("recipe", RECIPES, ids=["integers", "real scales"])
def test_weights_alone(float_network, recipe):
    model, x = float_network(LSTM(3, 5), Linear(5, 2)), data()
    network = quantize(model, x, recipe)
    reference = reference_network(network, model)
    own = reference_network(network)
    (part,) = (p for p in parts_of(network, weights=True) if p.name == "g.h")
    changed = alone(reference, network, part)
    for before, after, integer in zip(reference.layers, changed.layers, own.layers, strict=True):
        for name, values in after.parameters.items():
            wanted = integer if (after.name, name) == (part.layer, "g.h") else before
            np.testing.assert_array_equal(values, wanted.parameters[name])
    assert (evaluate(changed, x) != evaluate(reference, x)).any()


def test_a_rounding_alone(float_network):
    model, x = float_network(Linear(3, 4)), data()
    network = quantize(model, x, Recipe(output=5))
    reference = reference_network(network, model)
    (part,) = parts_of(network, weights=False)
    assert (part.what, part.of) == ("output", "")
    format = network.output_format
    want = format.dequantize(format.quantize(evaluate(model, x)))
    np.testing.assert_array_equal(evaluate(alone(reference, network, part), x), want)


def test_a_table_alone(float_network):
    """No further off than its worst error; its input's rounding has no part in that."""
    model, x = float_network(Linear(3, 4, "tanh")), data()
    network = quantize(model, x, Recipe(segments=4))
    reference = reference_network(network, model)
    (part,) = (p for p in parts_of(network, weights=False) if p.what == "table")
    table = network.computing[0].tables[part.name]
    codes = np.arange(table.source.min, table.source.max + 1)
    errors = table.target.dequantize(table(codes)) - np.tanh(table.source.dequantize(codes))
    off = evaluate(alone(reference, network, part), x) - evaluate(model, x)
    assert 0 < np.abs(off).max() <= np.abs(errors).max() * (1 + 1e-12)
    nearest = np.abs(errors[:, None] - off.ravel()).min(axis=0)
    assert nearest.max() < 1e-12


def test_roles_of_roundings(float_network):
    network = quantize(float_network(LSTM(3, 5), GRU(5, 4), LSTM(4, 2)), data(), Recipe())
    roles = {(p.layer, p.what, p.of) for p in parts_of(network, weights=True)}
    for role in (
        ("l.0", "operand", "h"),
        ("l.0", "state", "c"),
        ("l.2", "output", ""),
        ("l.0", "gate", "f"),
        ("l.0", "weights", "o.x"),
        ("l.1", "state", "h"),
        ("l.1", "operand", "h"),
        ("l.1", "table", "tanh0"),
    ):
        assert role in roles
    kinds = {p.what for p in parts_of(network, weights=False)}
    assert not kinds & {"weights", "constant"}


def test_refuses_another_model(float_network):
    network = quantize(float_network(LSTM(3, 5)), data(), Recipe())
    with pytest.raises(DeltaloomError, match="must have the layers of the quantized one, l.0"):
        reference_network(network, float_network(LSTM(3, 5), Linear(5, 2)))
    sentence = r"must have a parameter l.0.i.x of shape \(5, 3\), .*, not one of \(4, 3\)"
    with pytest.raises(DeltaloomError, match=sentence):
        reference_network(network, float_network(LSTM(3, 4)))
    with pytest.raises(DeltaloomError, match=r"a parameter l.0.i.x of shape .*, not none"):
        reference_network(network, float_network(GRU(3, 5)))


def test_own_functions_come_from_the_float_model(float_network):
    own = Function("cube", lambda x: x**3)
    model, x = float_network(Linear(3, 4, own)), data()
    network = quantize(model, x, Recipe())
    want = evaluate(model, x)
    np.testing.assert_array_equal(evaluate(reference_network(network, model), x), want)
    assert np.abs(evaluate(reference_network(network), x) - want).max() < 0.5
    (layer,) = network.layers
    tables = {name: replace(table, definition=None) for name, table in layer.tables.items()}
    read = replace(network, layers=(replace(layer, tables=tables),))
    np.testing.assert_array_equal(evaluate(reference_network(read, model), x), want)
    with pytest.raises(DeltaloomError, match="Function cube of l.0.cube0 must be known"):
        reference_network(read)


def test_networks_without_a_float_layer_of_that_name_are_whole(float_network):
    network = quantize(float_network(LSTM(3, 2), "last"), data(), Recipe())
    assert isinstance(reference_network(network), Network)
