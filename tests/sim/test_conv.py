"""Convolutional cells in float and in the golden model, against torch's own convolution."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import ConvLSTM, PeepholeConvLSTM
from deltaloom.compiler.convolution import frames, pixel_vectors
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.network import Layer, Network, parameter_shapes
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import golden

CASES = {
    "plain": ((2, 3, (3, 5), 3), "same", 1, 3),
    "even kernels": ((1, 2, (4, 3), (2, 4)), "same", 1, (2, 4)),
    "one pixel": ((3, 2, (1, 1), 3), "same", 1, 3),
    "a column": ((2, 1, (4, 1), 1, 0, 1, (3, 1)), 0, 1, (3, 1)),
    "valid and dilated": ((2, 2, (7, 6), (3, 2), "valid", (2, 3), 5), "valid", (2, 3), 5),
    "padded to more": ((1, 2, (2, 3), 2, (2, 1), 1, 3), (2, 1), 1, 3),
}


def layer_of(cell, seed=0):
    rng = np.random.default_rng(seed)
    graph = trace(cell)
    parameters = {
        key: rng.normal(size=shape) * (1 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.4)
        for key, shape in parameter_shapes(graph).items()
    }
    return Layer("l", type(cell).__name__, graph, parameters)


def weights(values, channels, kernel):
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    taps = values.reshape(len(values), rows, columns, channels)
    return torch.from_numpy(taps.transpose(0, 3, 1, 2).copy())


def peep(parameters, gate, c):
    """What a gate sees of the cell state."""
    if f"p_{gate}" not in parameters:
        return 0
    weights = frames(parameters[f"p_{gate}"], tuple(c.shape[-2:]))
    return torch.from_numpy(weights.copy()) * c


def torch_conv_lstm(cell, parameters, x, padding, dilation, state_kernel):
    """Shi et al. 2015 in torch: x (time, channels, rows, columns), h of all timesteps."""
    arguments, hidden = cell
    channels, _, _, kernel, *_ = arguments
    grid = None
    outputs = []
    for frame in x:
        sums = {}
        for gate in "ifgo":
            of_x = functional.conv2d(
                frame[None],
                weights(parameters[f"{gate}.x"], channels, kernel),
                torch.from_numpy(parameters[gate]),
                padding=padding,
                dilation=dilation,
            )
            if grid is None:
                grid = of_x.shape[-2:]
                h = c = torch.zeros((1, hidden, *grid), dtype=torch.float64)
            of_h = functional.conv2d(
                h, weights(parameters[f"{gate}.h"], hidden, state_kernel), padding="same"
            )
            sums[gate] = of_x + of_h

        i = torch.sigmoid(sums["i"] + peep(parameters, "i", c))
        f = torch.sigmoid(sums["f"] + peep(parameters, "f", c))
        c = f * c + i * torch.tanh(sums["g"])
        h = torch.sigmoid(sums["o"] + peep(parameters, "o", c)) * torch.tanh(c)
        outputs.append(h[0])
    return torch.stack(outputs)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", [ConvLSTM, PeepholeConvLSTM])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch(kind, name):
    arguments, padding, dilation, state_kernel = CASES[name]
    layer = layer_of(kind(*arguments))
    channels, hidden, grid, *_ = arguments
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 5, channels, *grid))
    found = evaluate(Network((layer,)), pixel_vectors(x))
    assert found.shape == (2, 5, layer.output_size)
    for sequence, result in zip(x, found, strict=True):
        want = torch_conv_lstm(
            (arguments, hidden),
            layer.parameters,
            torch.from_numpy(sequence),
            padding,
            dilation,
            state_kernel,
        )
        np.testing.assert_allclose(result, pixel_vectors(want).numpy(), atol=1e-12)


def test_frames_and_vectors():
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    vectors = pixel_vectors(x)
    np.testing.assert_array_equal(vectors[0, :6], [0, 20, 40, 1, 21, 41])
    np.testing.assert_array_equal(frames(vectors, (4, 5)), x)
    np.testing.assert_array_equal(pixel_vectors(torch.from_numpy(x)).numpy(), vectors)


@pytest.mark.parametrize("name", CASES)
def test_golden_is_near_float(name):
    """Sixteen-bit weights and activations: what is left is the tables' error and rounding."""
    layer = layer_of(PeepholeConvLSTM(*CASES[name][0]))
    x = np.random.default_rng(2).normal(size=(3, 8, layer.input_size))
    network = Network((layer,))
    integer = quantize(network, x, Recipe("int16", "int16", clip="minmax"))
    sequences = [integer.input_format.quantize(sequence) for sequence in x]
    outputs = np.stack(golden.run(integer, sequences).outputs)
    found = integer.output_format.dequantize(outputs)
    np.testing.assert_allclose(found, evaluate(network, x), atol=2e-3)


def test_delta_and_zero_are_exact():
    layer = layer_of(ConvLSTM(*CASES["plain"][0]))
    x = np.random.default_rng(3).normal(size=(2, 100, layer.input_size)).cumsum(axis=1) * 0.1
    outputs, fired = [], []
    for skip in ("none", "zero", "delta"):
        network = quantize(Network((layer,)), x, Recipe(skip=skip))
        sequences = [network.input_format.quantize(sequence) for sequence in x]
        run = golden.run(network, sequences, trace=True)
        outputs.append(np.stack(run.outputs))
        fired.append(run.traces["l"].fired["h"])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert fired[0].shape == (2, 100, layer.output_size)
    assert fired[0][:, 1:].all()
    assert fired[2].mean() < 0.9
