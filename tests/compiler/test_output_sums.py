"""Outputs that are not rounded, from the recipe to the hardware."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl


class Labeller(nn.Module):
    def __init__(self, once=False):
        super().__init__()
        self.rnn = nn.LSTM(3, 5, batch_first=True)
        self.head = nn.Linear(5, 4)
        self.once = once

    def forward(self, x):
        y = self.head(self.rnn(x)[0])
        return y[:, -1] if self.once else y


def signals(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Labeller()


@pytest.mark.parametrize("skip", ["none", "delta"])
def test_the_output_is_the_sum_itself(model, skip):
    """Counted again from the layer's input and weights, exactly."""
    x = signals(2, 9, 3)
    recipe = dl.Recipe("int8", "int8", output=32, skip=skip)
    quantized = dl.quantize(model, x, recipe)
    head = quantized.network.computing[-1]
    before = dl.quantize(model.rnn, x, dl.Recipe("int8", "int8", output=8, skip=skip))
    assert quantized.network.output_format.width == 32
    assert before.network.output_format == head.input_format
    inputs = before.integer(x)
    sums = inputs @ head.weights["y.x"].T + head.biases["y"]
    np.testing.assert_array_equal(quantized.integer(x), sums)
    assert np.abs(sums).max() > 1 << 11  # more than a narrow output keeps
    exact = inputs * head.input_format.scale @ model.head.weight.detach().numpy().T
    exact += model.head.bias.detach().numpy()
    np.testing.assert_allclose(quantized(x), exact, atol=5 * 2**-8)  # weights of 8 bits


@pytest.mark.parametrize("once", [False, True])
def test_hardware_and_model_files(tmp_path, once):
    torch.manual_seed(0)
    x = signals(2, 7, 3)
    quantized = dl.quantize(Labeller(once), x, dl.Recipe("int4", "int6", output=32))
    quantized.save(tmp_path / "model.safetensors")
    again = dl.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.integer(x), quantized.integer(x))
    run = dl.generate(again, lanes=5).simulate(x, simulator="pysim")
    np.testing.assert_array_equal(run.integers, quantized.integer(x))


@pytest.mark.parametrize("learn_ranges", [False, True])
def test_training(model, learn_ranges):
    x = signals(2, 9, 3)
    prepared = dl.prepare(model, dl.Recipe("int4", output=32), x, learn_ranges=learn_ranges)
    if learn_ranges:
        with torch.no_grad():
            prepared.ranges.log2_steps += 1.3 * torch.randn_like(prepared.ranges.log2_steps)
    found, quantized = prepared(torch.from_numpy(x)), dl.quantize(prepared)
    np.testing.assert_array_equal(found.detach(), quantized(x))
    head = quantized.network.computing[-1]
    (_, affine), *_ = head.graph.of(dl.compiler.graph.Affine)
    assert quantized.network.output_format.frac == affine.format.frac
    found.sum().backward()
    np.testing.assert_allclose(prepared.get_parameter("cells.head.y.bias.value").grad, 18)


def test_training_keeps_every_bit_of_wide_sums(model):
    """Those of weights and inputs of 14 bits have more than float32 does."""
    x = signals(2, 9, 3)
    prepared = dl.prepare(model, dl.Recipe("int14", "int14", output=32), x)
    found, quantized = prepared(torch.from_numpy(x)), dl.quantize(prepared)
    assert np.abs(quantized.integer(x)).max() > 1 << 24
    np.testing.assert_array_equal(found.detach(), quantized(x))
    found.square().sum().backward()
    assert prepared.get_parameter("cells.rnn.0.i.x.value").grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("module", "options", "sentence"),
    [
        (nn.GRU(3, 4), {}, r"layer gru\.0 is a GRU that ends in add\d; other outputs have 2 to"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU()),
            {},
            "without an activation, but layer 0 is a Linear that ends in relu0",
        ),
        (nn.Linear(3, 4), {"scale": "real"}, "scale 'power-of-two' of the weights of layer linear"),
        (
            nn.Linear(9, 2),
            {"weights": "int16", "activations": "int16"},
            "Sums of layer linear must have at most 32 bits to be put out as they are, not 3",
        ),
    ],
)
def test_refuses_what_is_no_sum(module, options, sentence):
    size = next(module.parameters()).shape[1]
    with pytest.raises(dl.DeltaloomError, match=sentence):
        dl.quantize(module, signals(2, 7, size), dl.Recipe(output=32, **options))


def test_refuses_widths_between():
    with pytest.raises(dl.DeltaloomError, match="must be an integer from 2 to 16, or 32, not 24"):
        dl.Recipe(output=24)
