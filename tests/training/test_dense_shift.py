import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.encodings import ENCODINGS, WeightFormat
from deltaloom.training.dense_shift import DenseShift
from deltaloom.training.rounding import LN2


@pytest.mark.parametrize("multiplier", [1 << 15, 45_001])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_starts_at_the_nearest_levels(bits, multiplier):
    format = WeightFormat(ENCODINGS[f"shift{bits}"], 3, multiplier)
    values = np.random.default_rng(0).normal(size=(40, 30)) * format.scale * format.max / 2
    integers = format.quantize(values)
    assert set(np.unique(integers)) == set(format.encoding.levels)
    weights = DenseShift(values, torch.float32, format)
    found = weights(format, None)
    np.testing.assert_array_equal(format.quantize(found.detach().numpy()), integers)
    for latents in weights.parameters():
        assert 0.5e-3 < latents.std() < 2e-3


def test_derivatives_by_hand():
    """S <- (S + 1) b(t) for each latent; backwards the magnitude is sqrt(S + 1)."""
    format = WeightFormat(ENCODINGS["shift3"], 1)
    weights = DenseShift(np.zeros(3) + 0.1, torch.float64, format)
    with torch.no_grad():
        weights.sign[:] = torch.tensor([1.0, -1.0, 1.0])
        weights.exponent[:] = torch.tensor([[1.0, 1, 1], [1, 1, -1], [1, -1, 1]])
    found = weights(format, None)
    np.testing.assert_array_equal(found.detach(), [8 / 2, -1 / 2, 2 / 2])
    found.backward(torch.tensor([2.0, 4.0, 6.0], dtype=torch.float64))
    # The exponents are 3, 0 and 1; the scale is a half.
    np.testing.assert_allclose(weights.sign.grad, [2 * 0.5 * 2, 4 * 0.5, 6 * 0.5 * 2**0.5])
    slope = np.array([2 * 0.5 / 4, -4 * 0.5 / 2, 6 * 0.5 / (2 * 2**0.5)])
    before = [[1, 1, 1], [2, 2, 2], [3, 3, 1]]  # exponent before each latent, plus one
    after = [[1, 0, 0], [1, 0, 1], [1, 1, 1]]  # whether it reaches the end
    np.testing.assert_allclose(weights.exponent.grad, slope * np.multiply(before, after))


def test_derivative_of_a_learned_step():
    format = WeightFormat(ENCODINGS["shift2"], 1)
    weights = DenseShift(np.array([1.0, -0.5]), torch.float64, format)
    step = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    weights(format, step).backward(torch.tensor([3.0, 5.0], dtype=torch.float64))
    assert step.grad.item() == pytest.approx(LN2 * (3 * 1.0 + 5 * -0.5))


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
def test_calibration_keeps_the_weights(scale):
    """Mixed with integers, whose scale in the gate is the same if it is a real one."""
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(3, 9, 4)).astype(np.float32)
    recipe = dl.Recipe("shift3", "int6", scale=scale, paths={"gru.0.*.x": {"weights": "int5"}})
    prepared = dl.prepare(nn.GRU(4, 6, batch_first=True), recipe, x)
    with torch.no_grad():
        for gate in "rz":  # weights that reach less far than their scale was made for
            exponent = prepared.get_parameter(f"cells.gru.0.{gate}.h.exponent")
            exponent[-1] = -exponent[-1].abs()
    before = dl.quantize(prepared).network.computing[0]
    prepared.calibrate(3 * x)
    quantized = dl.quantize(prepared)
    after = quantized.network.computing[0]
    assert before.input_format != after.input_format
    for name, weights in before.weights.items():
        np.testing.assert_array_equal(after.weights[name], weights)
    output, _ = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(output.detach(), quantized(x))
