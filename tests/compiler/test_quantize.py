import time
from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, SRU, LiGRU, Linear, ReluRNN
from deltaloom.compiler.checks.network_checks import check_network
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.graph import State
from deltaloom.compiler.integer import Skip
from deltaloom.compiler.network import LastStep, Network
from deltaloom.compiler.pwl import worst_error
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.signal_noise import signal_to_noise
from deltaloom.sim.golden import run


def data(features, seed=0, size=(20, 15)):
    return np.random.default_rng(seed).normal(size=(*size, features))


def results(network, x):
    """Real outputs (batch, time, features) of the integer network."""
    got = run(network, [network.input_format.quantize(sequence) for sequence in x])
    return network.output_format.dequantize(np.stack(got.outputs))


def with_parameters(network, **parameters):
    """A one-layer network with these parameters instead."""
    (layer,) = network.layers
    return Network((replace(layer, parameters={k: np.array(v) for k, v in parameters.items()}),))


def test_linear_by_hand(make_network):
    """y = 0.5 x0 - 0.75 x1 + 0.25 with weights of 4 bits (s4.3) and x of 4 bits (s4.2)."""
    network = with_parameters(make_network(Linear(2, 1)), **{"y.x": [[0.5, -0.75]], "y": [0.25]})
    x = np.array([[[1.75, -2.0], [-2.0, 1.75], [0.25, 0.5]]])
    quantized = quantize(network, x, Recipe(weights="int4", activations="int4", clip="minmax"))
    (layer,) = quantized.layers
    (affine,) = (node for node in layer.graph.nodes if node.name == "y")
    assert layer.input_format == Format(4, 2)
    assert affine.paths[0].format == Format(4, 3)
    np.testing.assert_array_equal(layer.weights["y.x"], [[4, -6]])
    np.testing.assert_array_equal(layer.biases["y"], [8])
    # The accumulator holds (4 + 6) * 8 + 8 = 88 in units of 2**-5.
    assert affine.format == Format(8, 5)
    want = 0.5 * x[..., 0] - 0.75 * x[..., 1] + 0.25
    np.testing.assert_array_equal(results(quantized, x)[..., 0], want)


def test_two_scales_are_aligned_exactly(make_network):
    """Weights of h are 8 times finer than those of x: its products decide the accumulator."""
    network = with_parameters(
        make_network(RNN(1, 1)), **{"n.x": [[0.5]], "n.h": [[0.0625]], "n": [0.0]}
    )
    x = np.array([[[0.75], [-1.0]]])
    recipe = Recipe(weights="int3", activations="int3", clip="minmax")
    (layer,) = quantize(network, x, recipe).layers
    (affine,) = (node for node in layer.graph.nodes if node.name == "n")
    assert [path.format for path in affine.paths] == [Format(3, 2), Format(3, 5)]
    h = layer.operands[1].format
    assert affine.format.frac == 5 + h.frac
    assert layer.shift(affine, affine.paths[0]) == 5 + h.frac - (2 + 2)
    assert layer.shift(affine, affine.paths[1]) == 0


def rounding(format):
    """Largest error of a value within the calibrated range; the topmost code saturates."""
    return format.scale


@pytest.mark.parametrize("bits", range(2, 17))
def test_linear_errs_by_its_roundings(make_network, bits):
    network = make_network(Linear(7, 5), seed=bits)
    x = data(7, seed=bits)
    recipe = Recipe(weights=f"int{bits}", activations=f"int{bits}", clip="minmax")
    quantized = quantize(network, x, recipe)
    (layer,), (real,) = quantized.layers, network.layers
    (affine,) = (node for node in layer.graph.nodes if node.name == "y")
    of_x, of_w = rounding(layer.input_format), rounding(affine.paths[0].format)
    of_bias = affine.format.scale / 2
    largest = np.abs(x).max() + of_x
    bound = np.abs(real.parameters["y.x"]).sum(axis=1).max() * of_x + 7 * largest * of_w + of_bias
    want = evaluate(network, x)
    got = results(quantized, x)
    clipped = layer.output_format.max * layer.output_format.scale
    inside = np.abs(want) + bound < clipped
    assert inside.any() or bits < 5
    assert np.all(np.abs(got - want)[inside] <= bound + layer.output_format.scale)


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16])
def test_rnn_errs_by_the_sum_of_its_roundings(make_network, bits):
    """tanh is 1-Lipschitz, so a step's error is what its inputs, weights and roundings add."""
    network = make_network(RNN(3, 5), seed=bits, scale=0.15)
    x = data(3, seed=bits)
    recipe = Recipe(weights=f"int{bits}", activations=f"int{bits}", clip="minmax")
    quantized = quantize(network, x, recipe)
    (layer,), (real,) = quantized.layers, network.layers
    (affine,) = (node for node in layer.graph.nodes if node.name == "n")
    operands = {operand.name: operand.format for operand in layer.operands}
    norm = {k: np.abs(v).sum(axis=1).max() for k, v in real.parameters.items() if "." in k}
    of_w = {path.name: rounding(path.format) for path in affine.paths}
    (table,) = layer.tables.values()
    of_gate = table.source.scale / 2 + worst_error(table) * table.target.scale
    of_gate += affine.format.scale / 2 + rounding(operands["h"]) + rounding(layer.output_format)
    reach_h = norm["n.h"] + 5 * of_w["h"]
    step = norm["n.x"] * rounding(operands["x"]) + of_gate
    step += 3 * of_w["x"] * (np.abs(x).max() + rounding(operands["x"]))
    step += 5 * of_w["h"]
    assert reach_h < 1
    bound = step / (1 - reach_h)
    assert np.abs(results(quantized, x) - evaluate(network, x)).max() <= bound


@pytest.mark.parametrize("cell", [GRU, LSTM, RNN, ReluRNN])
@pytest.mark.parametrize("clip", ["minmax", "mse"])
def test_more_bits_come_closer(make_network, cell, clip):
    network = make_network(cell(7, 13), Linear(13, 3))
    x = data(7)
    want = evaluate(network, x)
    errors = [
        np.sqrt(np.mean((results(quantize(network, x, recipe), x) - want) ** 2))
        for bits in (2, 4, 8, 16)
        for recipe in [Recipe(weights=f"int{bits}", activations=f"int{bits}", clip=clip)]
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-3 * np.abs(want).max()


@pytest.mark.parametrize("cell", [GRU, LSTM, RNN, ReluRNN])
@pytest.mark.parametrize("bits", range(2, 17))
def test_every_width(make_network, cell, bits):
    network = make_network(cell(3, 5))
    x = data(3)
    quantized = quantize(network, x, Recipe(weights=f"int{bits}", activations=f"int{bits}"))
    check_network(quantized)
    (layer,) = quantized.layers
    assert layer.input_format.width == bits
    assert all(operand.format.width == bits for operand in layer.operands)
    for weights in layer.weights.values():
        assert Format(bits, 0).holds(weights)
    assert np.all(np.isfinite(results(quantized, x)))


@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (31, 1), (13, 17)])
@pytest.mark.parametrize("cell", [GRU, LSTM, RNN, ReluRNN])
def test_awkward_sizes(make_network, cell, sizes):
    inputs, hidden = sizes
    network = make_network(cell(inputs, hidden), cell(hidden, 2))
    x = data(inputs, size=(1, 1))
    quantized = quantize(network, x)
    assert results(quantized, x).shape == (1, 1, 2)


def test_paths_have_their_own_widths(make_network):
    network = make_network(GRU(3, 5), GRU(5, 5))
    paths = {
        "rnn.0.*.h": {"weights": "int16"},
        "rnn.1.x": {"activations": "int12"},
        "rnn.1.z.x": {"weights": "int3"},
    }
    first, second = quantize(network, data(3), Recipe(paths=paths)).layers
    widths = {
        (layer.name, affine.key(path)): path.format.width
        for layer in (first, second)
        for affine in layer.graph.nodes
        if hasattr(affine, "paths")
        for path in affine.paths
    }
    for (layer, key), width in widths.items():
        wide = layer == "rnn.0" and key.endswith(".h")
        assert width == (16 if wide else 3 if (layer, key) == ("rnn.1", "z.x") else 8)
    assert [operand.format.width for operand in second.operands] == [12, 8]
    assert first.output_format == second.input_format == second.operands[0].format


def test_skip_and_thresholds(make_network):
    network = make_network(GRU(3, 5), GRU(5, 5))
    recipe = Recipe(skip="delta", theta={"rnn.1": {"h": 3}})
    first, second = quantize(network, data(3), recipe).layers
    assert first.skip is second.skip is Skip.DELTA
    assert first.theta == {"h": 0, "x": 0}
    assert [operand.theta for operand in second.operands] == [0, 3]


def test_output_width(make_network):
    network = make_network(GRU(3, 5))
    for output in (2, 7, 16):
        quantized = quantize(network, data(3), Recipe(output=output))
        assert quantized.output_format.width == output


def test_selection_of_the_last_step_is_kept(make_layer):
    network = Network(
        (make_layer("rnn.0", GRU(3, 5)), LastStep("last"), make_layer("head", Linear(5, 2)))
    )
    quantized = quantize(network, data(3))
    assert [layer.name for layer in quantized.layers] == ["rnn.0", "last", "head"]
    assert quantized.once
    got = results(quantized, data(3))[:, 0]
    assert np.abs(got - evaluate(network, data(3))).max() < 0.05


def test_constant_and_missing_values(make_network):
    """An input that is always zero, a zero matrix and a zero bias are all ordinary."""
    network = with_parameters(
        make_network(RNN(1, 1)), **{"n.x": [[0.0]], "n.h": [[0.5]], "n": [0.0]}
    )
    quantized = quantize(network, np.zeros((1, 3, 1)))
    np.testing.assert_array_equal(results(quantized, np.zeros((1, 3, 1))), np.zeros((1, 3, 1)))


def test_is_reproducible(make_network):
    network = make_network(LSTM(3, 5))
    first, second = (quantize(network, data(3)).layers[0] for _ in range(2))
    assert first.graph == second.graph
    for key in first.weights:
        np.testing.assert_array_equal(first.weights[key], second.weights[key])


def test_is_fast(make_network):
    network = make_network(GRU(13, 64), Linear(64, 10))
    x = data(13, size=(100, 40))
    start = time.process_time()
    quantize(network, x)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("parameters", "x", "options", "sentence"),
    [
        (
            {"y.x": [[1e-30, 0.0]], "y": [0.0]},
            1.0,
            {},
            "Weights rnn.0.y.x must not all round to zero; the largest is 1e-30: "
            "scale them up and their input down",
        ),
        (
            {"y.x": [[1e-6, 0.0]], "y": [1e6]},
            1.0,
            {"weights": "int16"},
            "Accumulator of rnn.0.y must have at most 48 bits, not 61: use fewer bits for weights "
            "or activations, or bring weights, bias and inputs to similar scales",
        ),
        (
            {"y.x": [[1e25, 0.0]], "y": [0.0]},
            0.0,
            {},
            "Weights rnn.0.y.x must be below 2**71, not 1e+25",
        ),
        (
            {"y.x": [[1.0, 0.0]], "y": [0.0]},
            1e25,
            {},
            "Values of stream input must be below 2**71, not 1e+25",
        ),
    ],
)
def test_refuses_what_cannot_be_held(make_network, parameters, x, options, sentence):
    network = with_parameters(make_network(Linear(2, 1)), **parameters)
    with pytest.raises(DeltaloomError) as error:
        quantize(network, np.full((1, 2, 2), x), Recipe(**options))
    assert str(error.value) == sentence


def test_refuses_paths_of_too_different_scales(make_network):
    network = with_parameters(
        make_network(RNN(1, 1)), **{"n.x": [[1.0]], "n.h": [[1e-12]], "n": [0.0]}
    )
    with pytest.raises(DeltaloomError) as error:
        quantize(network, np.ones((1, 3, 1)))
    assert str(error.value) == (
        "Products of rnn.0.n.x must be within 2**31 of those of rnn.0.n.h, not 2**41: "
        "bring the inputs to similar scales, or give the finer path fewer bits"
    )


def test_refuses_names_that_the_network_lacks(make_network):
    with pytest.raises(DeltaloomError, match=r"Recipe paths 'gru\.\*' must match weights"):
        quantize(make_network(GRU(3, 5)), data(3), Recipe(paths={"gru.*": {"weights": "int4"}}))


def test_refuses_weights_that_are_not_finite(make_network):
    network = with_parameters(make_network(Linear(2, 1)), **{"y.x": [[np.nan, 0.0]], "y": [0.0]})
    with pytest.raises(DeltaloomError) as error:
        quantize(network, data(2))
    assert str(error.value) == "Parameter rnn.0.y.x must be finite; it holds NaN or infinity"


@pytest.mark.parametrize(("limit", "frac"), [(64, 9), (63.5, 9), (1, 15), (0.3, 16)])
def test_a_limited_state_is_finer_and_saturates(make_network, limit, frac):
    network = make_network(LSTM(3, 5))
    x = np.random.default_rng(0).normal(size=(4, 30, 3))
    quantized = quantize(network, x, Recipe(state_limits={"rnn.*.c": limit})).computing[0]
    states = {node.name: node.format for _, node in quantized.graph.of(State)}
    assert states["c"] == Format(16, frac)
    assert states["h"] == Format(8, 7)


@pytest.mark.parametrize(("ordinary", "expected"), [(0.25, 4), (0.5, 4), (0.02, 3)])
def test_a_state_is_kept_as_far_as_the_outputs_need(make_network, ordinary, expected):
    """Of all limits that can be given by hand the one with the best integer outputs.

    One sequence of 120 drives a state far, the others stay at a fraction of that. Neither the
    largest value decides nor a share of the values that may be cut.
    """
    network = make_network(LiGRU(1, 3))
    zeros = {k: np.zeros_like(v) for k, v in network.layers[0].parameters.items()}
    slow = {"n.x": np.array([[40.0], [32.0], [24.0]]), "z": np.full(3, 3.0)}
    network = with_parameters(network, **(zeros | slow))
    rng = np.random.default_rng(0)
    x = np.resize([1.0, -1.0], (120, 50, 1)) * rng.uniform(0.2, 1, (120, 1, 1)) * ordinary
    x[7] = 1.0
    wanted = evaluate(network, x)

    def quality(**options):
        recipe = Recipe("int16", "int16", elementwise=10, **options)
        quantized = quantize(network, x, recipe)
        (layer,) = quantized.layers
        (state,) = (node for _, node in layer.graph.of(State))
        return state.format.frac, signal_to_noise(wanted, results(quantized, x))

    chosen, reached = quality()
    assert chosen == expected
    by_hand = [quality(state_limits={"rnn.0.h": limit}) for limit in (64, 32, 16, 8)]
    assert [frac for frac, _ in by_hand] == [3, 4, 5, 6]
    assert (chosen, reached) == max(by_hand, key=lambda found: found[1])
    assert quality(clip="minmax")[0] == 3


def test_refuses_limits_of_states_that_are_not_kept(make_network):
    x = np.random.default_rng(0).normal(size=(4, 30, 3))
    with pytest.raises(DeltaloomError) as error:
        quantize(make_network(LSTM(3, 5)), x, Recipe(state_limits={"rnn.0.h": 1}))
    assert str(error.value) == (
        "Recipe state_limits 'rnn.0.h' must match states of the network that are not multiplied "
        "alone, which are rnn.0.c"
    )


@pytest.mark.parametrize(("limit", "fracs"), [(4, (1, 5)), (3.5, (1, 5)), (0.5, (4, 8))])
def test_limited_operands_are_finer_or_go_further(make_network, limit, fracs):
    """Of an input, a state and another layer's output, whatever calibration would have chosen."""
    network = make_network(LSTM(3, 5), Linear(5, 2))
    x = np.random.default_rng(0).normal(size=(4, 30, 3))
    for activations, frac in zip(("int4", "int8"), fracs, strict=True):
        for name in ("rnn.0.x", "rnn.0.h", "rnn.1.x"):
            recipe = Recipe("int4", activations, operand_limits={name: limit})
            found = quantize(network, x, recipe)
            plain = quantize(network, x, replace(recipe, operand_limits={}))
            for layer, before in zip(found.computing, plain.computing, strict=True):
                for operand, other in zip(layer.operands, before.operands, strict=True):
                    limited = f"{layer.name}.{operand.name}" == name
                    wanted = Format(other.format.width, frac) if limited else other.format
                    assert operand.format == wanted


def test_a_limited_operand_saturates(make_network):
    network = with_parameters(make_network(Linear(1, 1)), **{"y.x": [[1.0]], "y": [0.0]})
    x = np.linspace(-8, 8, 65).reshape(1, 65, 1)
    quantized = quantize(network, x, Recipe("int8", "int4", operand_limits={"*": 2}))
    expected = np.clip(np.floor(x * 4 + 0.5), -8, 7) / 4
    np.testing.assert_allclose(results(quantized, x), expected, atol=2.0**-7)


def test_refuses_limits_of_operands_that_are_taken_as_they_come(make_network):
    """The input of an SRU is also added, in 16 bits."""
    x = np.random.default_rng(0).normal(size=(4, 30, 3))
    network = make_network(SRU(3, 3))
    recipe = Recipe("int8", "int16", operand_limits={"rnn.0.x": 64})
    with pytest.raises(UnsupportedError) as error:
        quantize(network, x, recipe)
    assert str(error.value) == (
        "Operand rnn.0.x is multiplied as it comes, in the s16.13 that all which reads this stream "
        "needs; supported in operand_limits is s16.9 where nothing else asks for more"
    )
    (layer,) = quantize(network, x, replace(recipe, activations="int8")).computing
    assert layer.operands[0].format == Format(8, 1)
