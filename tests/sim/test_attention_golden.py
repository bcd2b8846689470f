"""The golden model of attention, against softmax in float and against fractions by hand."""

from fractions import Fraction

import numpy as np
import pytest

import deltaloom as dl
from deltaloom.compiler.attention import Attention, attend
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.pwl import worst_error
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import golden
from deltaloom.sim.attention_golden import attention_steps, run_attention


def integers(layer, lengths, seed=0):
    rng = np.random.default_rng(seed)
    sizes = (layer.size, layer.size, layer.value_size)
    return [
        rng.integers(format.min, format.max + 1, (steps, 2, size))
        for format, steps, size in zip(layer.operands, lengths, sizes, strict=True)
    ]


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("form", ["dot", "additive"])
def test_is_softmax_within_what_its_roundings_allow(attention_network, form, causal, bits):
    recipe = Recipe(activations=f"int{bits}")
    layer = attention_network(form, causal, recipe=recipe, max_steps=40).layers[-1]
    steps = (40, 40, 40) if causal else (7, 33, 33)
    given = integers(layer, steps)
    lengths = [np.full(2, count) for count in steps]
    found, _, _ = run_attention(layer, given, lengths, trace=False)
    energies = None if layer.energies is None else layer.energy.dequantize(layer.energies)
    scale = layer.scale_value if form == "dot" else None
    ideal = Attention("a", form, causal, 40, scale=scale, energies=energies)

    # An exponential errs by its table and by what its argument does; it is nowhere steeper than 1.
    exp = layer.tables["exp"]
    error = worst_error(exp) * exp.target.scale + 2 * exp.source.scale
    error += layer.reach.scale * layer.scale_value + 2.0**-12
    if form == "additive":
        tanh = layer.tables["tanh"]
        hidden = worst_error(tanh) * tanh.target.scale + tanh.source.scale
        error += 2 * np.abs(energies).sum() * hidden
    for sequence in range(2):
        q, k, v = (
            format.dequantize(part[:, sequence])
            for format, part in zip(layer.operands, given, strict=True)
        )
        wanted = attend(ideal, q, k, v)
        for time, step in enumerate(attention_steps(layer, given, lengths)):
            met = time + 1 if causal else steps[1]
            total = step.totals[sequence, 0] * layer.weight.scale
            bound = met * error * 2 * np.abs(v).max() / total
            bound += np.abs(v).max() * 2**-13 + layer.format.scale
            real = layer.format.dequantize(found[time, sequence])
            low, high = (end * layer.format.scale for end in (layer.format.min, layer.format.max))
            assert np.abs(real - np.clip(wanted[time], low, high)).max() <= bound


def test_equal_scores_give_the_mean(attention_network):
    """Queries of zeros: every weight is the largest, and the context the mean, rounded half up."""
    layer = attention_network("dot", True, max_steps=30).layers[-1]
    given = integers(layer, (30, 30, 30))
    given[0][:] = 0
    found, fired, cut = run_attention(layer, given, [np.full(2, 30)] * 3, trace=True)
    assert cut == 0
    for time in range(30):
        for place in range(layer.value_size):
            values = given[2][: time + 1, 0, place].tolist()
            mean = Fraction(sum(values), time + 1) * Fraction(layer.value.scale)
            real = Fraction(int(found[time, 0, place])) * Fraction(layer.format.scale)
            step = Fraction(layer.format.scale)
            assert abs(real - mean) <= step / 2 + abs(mean) / 2**14
    assert fired["p"][0, 29].all()
    assert not fired["p"][0, 4, 5:].any()


def test_one_key_is_what_is_found(attention_network):
    """With a sharp softmax the value of the largest score comes through alone."""
    layer = attention_network("dot", False, scale=2.0**20, recipe=Recipe(skip="zero")).layers[-1]
    given = integers(layer, (4, 9, 9))
    found, fired, _ = run_attention(layer, given, [np.full(2, n) for n in (4, 9, 9)], trace=True)
    scores = np.einsum("tbf,kbf->tbk", given[0], given[1])
    for time in range(4):
        for sequence in range(2):
            best = scores[time, sequence].argmax()
            assert np.flatnonzero(fired["p"][sequence, time]).tolist() == [best]
            value = layer.value.dequantize(given[2][best, sequence])
            real = layer.format.dequantize(found[time, sequence])
            assert np.abs(real - value).max() <= np.abs(value).max() * 2**-13 + layer.format.scale


def test_what_follows_a_sequence_is_not_met(attention_network):
    layer = attention_network("dot", False).layers[-1]
    given = integers(layer, (5, 9, 9))
    lengths = [np.array([5, 3]), np.array([9, 4]), np.array([9, 4])]
    found, fired, _ = run_attention(layer, given, lengths, trace=True)
    alone = [part[:steps, 1:] for part, steps in zip(given, (3, 4, 4), strict=True)]
    wanted, _, _ = run_attention(layer, alone, [np.array([n]) for n in (3, 4, 4)], trace=False)
    np.testing.assert_array_equal(found[:3, 1], wanted[:, 0])
    assert not fired["p"][1, 3:].any()
    assert not fired["k"][1, :3, 4:].any()


def test_outputs_that_saturate_are_counted(attention_network):
    network = attention_network("dot", True, recipe=Recipe(output=3, clip="mse"))
    low, high = network.input_format.min, network.input_format.max
    extremes = np.random.default_rng(0).choice([low, high], (12, 3))
    run = golden.run(network, [extremes], trace=True)
    layer = network.layers[-1]
    ends = np.isin(run.outputs[0], (layer.format.min, layer.format.max)).sum()
    assert 0 < run.traces["att"].saturated["output"] <= ends


def test_a_longer_sequence_is_refused(attention_network):
    network = attention_network("dot", True)
    with pytest.raises(DeltaloomError, match=r"^Input must hold sequences of at most 12 timesteps"):
        golden.run(network, [np.zeros((13, 3), np.int64)])


@pytest.mark.parametrize("form", ["dot", "additive"])
def test_inspection_without_a_float_model(attention_network, form):
    """The float network beside it has the energies and the scale that the integers stand for."""
    network = attention_network(form, True)
    x = np.random.default_rng(0).normal(size=(2, 12, 3))
    found = dl.inspect(dl.QuantizedModel(network), None, x)
    assert any(edge.layer == "att" for edge in found.edges)
    assert found.ratio > 25
