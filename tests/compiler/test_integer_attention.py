"""What attention in integers proves of itself, and its place in a model file."""

from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.artifact import encode, load, model_bytes, save
from deltaloom.compiler.checks.attention_checks import check_attention
from deltaloom.compiler.errors import ModelFileError
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.integer_attention import SCALE_FRAC
from deltaloom.compiler.recipe import Recipe


@pytest.fixture
def layer(attention_network):
    return attention_network("additive", True).layers[-1]


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("bits", [3, 8, 16])
def test_the_widest_values_are_held_at_max_steps(attention_network, form, bits):
    """Every exact value is reached by some input and fits; a bit less would not hold it."""
    recipe = Recipe(activations=f"int{bits}", weights="int8")
    layer = attention_network(form, False, recipe=recipe, size=3, max_steps=37).layers[-1]
    weights = np.full((1, 37), layer.largest_weight)
    total = int(weights.sum())
    assert total <= layer.total.max
    assert total > layer.total.max >> 1
    weighted = total * layer.value.min
    assert layer.weighted.min <= weighted < layer.weighted.min >> 1
    if form == "dot":
        score = 3 * layer.query.min * layer.key.min
        assert layer.score.max >> 1 < score <= layer.score.max
    exact = abs(weighted) * int(layer.inverse(np.array([[total]]))[0, 0])
    assert exact <= layer.context.max
    found = layer.round_context(np.array([[weighted]]), np.array([[total]]))
    wanted = layer.value.min * layer.value.scale
    saturated = max(wanted, layer.format.min * layer.format.scale)
    error = abs(layer.format.dequantize(found)[0, 0] - saturated)
    assert error <= abs(wanted) * 2**-14 + layer.format.scale


def test_the_context_of_any_sum_fits(attention_network):
    """The reciprocal of every sum of weights, times the largest weighted sum with that sum."""
    layer = attention_network("dot", True, max_steps=50).layers[-1]
    top = int(layer.weights(np.zeros((1, 1), np.int64), np.ones((1, 1), bool))[0, 0])
    totals = np.arange(top, 50 * layer.largest_weight + 1)  # the largest score's is always there
    assert layer.total.holds(totals)
    exact = totals * -layer.value.min * layer.inverse(totals)
    assert exact.max() <= layer.context.max
    real = exact * layer.context.scale
    np.testing.assert_allclose(real, -layer.value.min * layer.value.scale, rtol=2**-14)


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.7, 2.0**-12, 513.0, 0.9999999])
def test_any_scale(attention_network, scale):
    layer = attention_network("dot", True, scale=scale).layers[-1]
    assert abs(layer.multiplier * 2.0 ** (layer.exponent - SCALE_FRAC) / scale - 1) <= 2**-16
    reach = layer.exponents.max * layer.exponents.scale
    farthest = min(2.0**40, 2 * reach / scale / layer.score.scale)
    differences = np.unique(np.geomspace(1, max(2, farthest), 999).astype(np.int64))
    differences = differences[differences <= layer.difference.max]
    codes = layer.codes(differences) - layer.tables["exp"].source.min
    wanted = np.minimum(differences * layer.difference.scale * scale, reach)
    step = layer.exponents.scale
    largest = (layer.reach.max) * layer.reach.scale * scale
    wanted = np.minimum(wanted, largest)
    bound = step + layer.reach.scale * scale + reach * 2**-15
    assert np.abs(codes * step - wanted).max() <= bound


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("causal", [True, False])
def test_model_file(tmp_path, attention_network, form, causal):
    network = attention_network(form, causal, recipe=Recipe(skip="zero"))
    save(network, tmp_path / "model")
    found = load(tmp_path / "model")
    assert encode(found) == encode(network)
    kept, restored = (replace(part.layers[-1], energies=None) for part in (network, found))
    assert kept == restored
    if form == "additive":
        np.testing.assert_array_equal(found.layers[-1].energies, network.layers[-1].energies)
        without = attention_network("dot", causal, recipe=Recipe(skip="zero"))
        assert model_bytes(network).weights == model_bytes(without).weights + 5


WRONG = {
    "form": ({"form": "dot"}, "Layer att must have the tables exp, reciprocal, not"),
    "multiplier": ({"multiplier": 1}, "Layer att must have a scale with a multiplier"),
    "exponent": ({"exponent": 99}, "Layer att must have a scale with a multiplier"),
    "energies": ({"energies": np.ones(4, np.int64)}, "Energies of layer att must be 5 integers"),
    "range": ({"energies": np.full(5, 999)}, "Energies of layer att must be 5 integers of s8"),
    "none": ({"energies": None}, "Layer att must have energies in the form 'additive' alone"),
    "weight": ({"weight": Format(9, 8)}, "Layer att must have a table of exponentials of s9.8"),
    "hidden": ({"hidden": Format(9, 8)}, "Layer att must have a table of tanh of s9.8"),
    "width": ({"key": Format(17, 8)}, "Layer att must multiply signed numbers of at most 16 bits"),
    "output": ({"format": Format(33, 8)}, "Layer att must give signed numbers of at most 32 bits"),
    "room": ({"max_steps": 65537}, "Layer att must have max_steps from 1 to 65536"),
    "size": ({"value_size": 0}, "Layer att must have a value_size, not 0"),
    "buffer": ({"value_size": 1 << 20, "max_steps": 99}, "Layer att must hold at most 16777216 el"),
    "scales": ({"key": Format(8, 200)}, "Layer att must have queries and keys of similar scale"),
    "shift": ({"format": Format(16, -40)}, "Layer att must shift by at most 31 to the left and 47"),
}


@pytest.mark.parametrize("name", WRONG)
def test_rules(layer, name):
    check_attention(layer)
    change, sentence = WRONG[name]
    with pytest.raises(ValueError, match=f"^{sentence}"):
        check_attention(replace(layer, **change))


def test_what_could_overflow_is_refused(attention_network):
    layer = attention_network("dot", True, recipe=Recipe(activations="int16")).layers[-1]
    check_attention(replace(layer, max_steps=1 << 10))
    with pytest.raises(ValueError, match=r"^Layer att must have at most 60 bits of context"):
        check_attention(replace(layer, max_steps=1 << 14))


def test_an_altered_file_is_refused(tmp_path, attention_network):
    save(attention_network("dot", True), tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    (tmp_path / "model").write_bytes(data.replace(b'"causal\\":true', b'"causal\\":1   '))
    with pytest.raises(ModelFileError):
        load(tmp_path / "model")
