from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.calibrate import calibrate
from deltaloom.compiler.cells import GRU, LSTM, ConvLSTM, LiGRU, Linear
from deltaloom.compiler.compensation import DAMPING, round_columns, second_moments
from deltaloom.compiler.encodings import ENCODINGS, UNIT_MULTIPLIER, WeightFormat
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.graph import Affine
from deltaloom.compiler.network import Network
from deltaloom.compiler.quantize import plan_of, quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.weight_scales import squared_error

UNIT = WeightFormat(ENCODINGS["int4"], 0)
COMPENSATED = Recipe("int3", "int8", rounding="compensated")


def test_the_second_column_makes_up_for_the_first():
    """Its best value, given the first's error e, is off by -e * m01 / (m11 + damping).

    Row by row: 0.4 -> 0 moves 0.4 by 0.2; 1.4 -> 1 moves -0.4 by 0.2; -0.4 -> 0 moves 0.4 by -0.2;
    2 is exact, and nothing moves.
    """
    damping = DAMPING * 1.0
    moments = np.array([[1.0, 0.5 * (1 + damping)], [0.5 * (1 + damping), 1.0]])
    weights = np.array([[0.4, 0.4], [1.4, -0.4], [-0.4, 0.4], [2.0, 0.4]])
    (found,) = round_columns([weights], [UNIT], moments)
    np.testing.assert_array_equal(found, [[0, 1], [1, 0], [0, 0], [2, 0]])


def test_the_larger_element_is_rounded_first():
    """The second column's 0.4 -> 0 moves the first by 0.4 * 1 / (1 + damping)."""
    damping = DAMPING * 2.5
    moments = np.array([[1.0, 1 + damping], [1 + damping, 4.0]])
    (found,) = round_columns([np.array([[0.2, 0.4]])], [UNIT], moments)
    np.testing.assert_array_equal(found, [[1, 0]])


def test_what_has_no_format_takes_the_mean_error():
    """With a vector that is always (2, 1), the bias makes up for all but the damping."""
    moments = np.array([[4.0, 2.0], [2.0, 1.0]])
    weights, bias = round_columns([np.array([[0.4]]), np.array([[0.1]])], [UNIT], moments)
    np.testing.assert_array_equal(weights, [[0]])
    np.testing.assert_allclose(bias, [[0.1 + 0.4 * 2]], rtol=1e-12)


def test_without_correlation_every_weight_goes_to_its_nearest_level():
    weights = np.random.default_rng(0).normal(size=(5, 7)) * 4
    (found,) = round_columns([weights], [UNIT], np.diag(np.arange(7.0)))
    np.testing.assert_array_equal(found, UNIT.quantize(weights))


def test_operands_that_are_always_zero():
    weights = np.array([[0.4, 0.6]])
    (found,) = round_columns([weights], [UNIT], np.zeros((2, 2)))
    np.testing.assert_array_equal(found, [[0, 1]])


def test_operands_of_very_different_scales():
    """What each path gets does not depend on the units of the other's operand."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 9)) @ rng.normal(size=(9, 9))
    parts = [rng.normal(size=(5, 4)) * 3, rng.normal(size=(5, 5)) * 3]
    for scale in (1.0, 2.0**40):
        units = np.repeat([1.0, scale], [4, 5])
        formats = [UNIT, WeightFormat(ENCODINGS["int4"], round(np.log2(scale)))]
        given = [parts[0], parts[1] / scale]
        found = round_columns(given, formats, (x * units).T @ (x * units) / len(x))
        assert all(np.isfinite(part).all() for part in found)
        off = np.concatenate([f - g for f, g in zip(found, given, strict=True)], axis=1)
        nearest = np.concatenate(
            [f.quantize(g) * f.scale - g for f, g in zip(formats, given, strict=True)], 1
        )
        assert (((x * units) @ off.T) ** 2).sum() < (((x * units) @ nearest.T) ** 2).sum()


def test_second_moments_do_not_depend_on_the_parts():
    rows = np.random.default_rng(0).normal(size=(13, 5))
    found = second_moments(iter([rows[:6], rows[6:7], rows[7:]]))
    np.testing.assert_allclose(found, np.mean([np.outer(row, row) for row in rows], axis=0))


def best_format(name, multiplier, values):
    """With the power of two whose nearest levels err least."""
    formats = [WeightFormat(ENCODINGS[name], frac, multiplier) for frac in range(-4, 12)]
    return min(formats, key=lambda format: squared_error(format, values))


@pytest.mark.parametrize("multiplier", [UNIT_MULTIPLIER, 45_678])
@pytest.mark.parametrize("name", ["binary", "ternary", "quaternary", "shift3", "int2", "int5"])
def test_levels_of_two_paths_whose_sum_errs_less(name, multiplier):
    """On the data that the moments are of."""
    total = np.zeros(2)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(200, 24)) @ rng.normal(size=(24, 24))
        parts = [rng.normal(size=(11, 7)), 0.2 * rng.normal(size=(11, 17))]
        formats = [best_format(name, multiplier, part) for part in parts]
        found = round_columns(parts, formats, x.T @ x / len(x))
        for format, levels in zip(formats, found, strict=True):
            integers = format.quantize(levels)
            assert format.encoding.holds(integers)
            np.testing.assert_array_equal(format.dequantize(integers), levels)
        nearest = [f.dequantize(f.quantize(part)) for f, part in zip(formats, parts, strict=True)]
        off = [np.concatenate(w, 1) - np.concatenate(parts, 1) for w in (found, nearest)]
        total += [((x @ part.T) ** 2).sum() for part in off]
    assert total[0] < 0.9 * total[1]


def gates_off(network, other, x):
    """Squared errors of all gates with other parameters, as shares of the gates' variance."""
    values = {}
    calibrate(network, x).replay(lambda layer, node, v: values.update({(layer.name, node): v}))
    total = 0.0
    for layer, changed in zip(network.layers, other.layers, strict=True):
        for _, affine in layer.graph.of(Affine):
            off = changed.parameters[affine.name] - layer.parameters[affine.name]
            off = np.tile(off, affine.pixels)
            for path in affine.paths:
                key = affine.key(path)
                weights = (changed.parameters[key] - layer.parameters[key]).T
                operand = values[layer.name, layer.graph.nodes[path.operand]]
                off = off + path.product(operand, weights)
            total += (off**2).mean() / values[layer.name, affine].var()
    return total


@pytest.mark.parametrize(
    "cells",
    [(GRU(5, 13), Linear(13, 3)), (LSTM(5, 13), LiGRU(13, 1)), (ConvLSTM(2, 3, (4, 3), 3),)],
    ids=["gru", "lstm", "convolution"],
)
@pytest.mark.parametrize("scale", ["power-of-two", "real"])
def test_gates_of_networks_err_less(make_network, cells, scale):
    network = make_network(*cells)
    size = network.input_size
    x = np.random.default_rng(3).normal(size=(4, 40, size)) @ np.tri(size) + 0.5
    recipe = replace(COMPENSATED, scale=scale)
    plan = plan_of(network, calibrate(network, x), recipe)
    nearest = {
        layer.name: {
            key: format.dequantize(format.quantize(layer.parameters[key]))
            for key, format in plan.cells[layer.name].weights.items()
        }
        for layer in network.layers
    }
    others = Network(
        tuple(
            replace(layer, parameters={**layer.parameters, **nearest[layer.name]})
            for layer in network.layers
        )
    )
    assert gates_off(network, plan.network, x) < 0.7 * gates_off(network, others, x)


def test_quantizes_to_the_same_integers_every_time(make_network):
    network = make_network(GRU(3, 7), Linear(7, 2))
    x = np.random.default_rng(0).normal(size=(3, 50, 3))
    first, second = (quantize(network, x, COMPENSATED) for _ in range(2))
    nearest = quantize(network, x, replace(COMPENSATED, rounding="nearest"))
    for layer, again, other in zip(first.layers, second.layers, nearest.layers, strict=True):
        for key, integers in layer.weights.items():
            np.testing.assert_array_equal(integers, again.weights[key])
        for key, integers in layer.biases.items():
            np.testing.assert_array_equal(integers, again.biases[key])
        assert any((layer.weights[key] != other.weights[key]).any() for key in layer.weights)


def test_integers_of_a_gate_stay(make_network):
    """The other path of the gate is rounded, and the bias takes its mean error."""
    network = make_network(GRU(3, 7))
    (layer,) = network.layers
    kept = np.random.default_rng(0).integers(-3, 4, (7, 7))
    layer = replace(
        layer,
        parameters={**layer.parameters, "r.h": kept / 8.0},
        steps={"r.h": 1 / 8},
    )
    x = np.random.default_rng(0).normal(size=(3, 50, 3))
    (found,) = quantize(Network((layer,)), x, COMPENSATED).layers
    np.testing.assert_array_equal(found.weights["r.h"], kept)
    plain = replace(COMPENSATED, rounding="nearest")
    (nearest,) = quantize(Network((layer,)), x, plain).layers
    assert (found.biases["r"] != nearest.biases["r"]).any()


def test_training_refuses_it():
    torch = pytest.importorskip("torch")
    import deltaloom as dl

    module = torch.nn.GRU(3, 5, batch_first=True)
    sentence = "Recipe rounding 'compensated' rounds weights that stay; supported in training are"
    with pytest.raises(DeltaloomError, match=sentence):
        dl.prepare(module, COMPENSATED, np.zeros((1, 4, 3)))
