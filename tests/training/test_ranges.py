import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import deltaloom as dl


def test_learned_ranges_stay_exact(sequences, recurrent, tmp_path):
    torch.manual_seed(0)
    x = sequences(3, 9, 3)
    recipe = dl.Recipe(weights="int4", activations="int4", skip="delta", theta=2)
    prepared = dl.prepare(
        recurrent(3, 5, num_layers=2, batch_first=True), recipe, x, learn_ranges=True
    )
    before = {str(layer.input_format) for layer in prepared.network().computing}
    with torch.no_grad():
        steps = prepared.ranges.log2_steps
        steps += torch.linspace(0.6, -0.9, len(steps))
    quantized = dl.quantize(prepared)
    output, _ = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(output.detach(), quantized(x))
    output.square().sum().backward()
    assert steps.grad.count_nonzero() == len(steps)
    assert before != {str(layer.input_format) for layer in quantized.network.computing}
    safetensors.torch.save_file(prepared.state_dict(), tmp_path / "checkpoint.safetensors")
    other = dl.prepare(recurrent(3, 5, 2, batch_first=True), recipe, x, learn_ranges=True)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "checkpoint.safetensors"))
    np.testing.assert_array_equal(dl.quantize(other)(x), quantized(x))


def test_learned_ranges_recover_from_bad_calibration(sequences):
    """A layer calibrated on signals sixteen times too large finds the ranges it needs."""
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(16, 12, 3))
    module = nn.GRU(3, 6, batch_first=True)
    target = module(x)[0].detach()
    losses = {}
    for learn in (False, True):
        recipe = dl.Recipe(activations="int4", clip="minmax")
        prepared = dl.prepare(module, recipe, 16 * x, learn_ranges=learn)
        groups = [{"params": prepared.cells.parameters(), "lr": 1e-3}]
        if learn:
            groups.append({"params": prepared.ranges.parameters(), "lr": 0.1})
        optimizer = torch.optim.Adam(groups)
        for _ in range(50):
            optimizer.zero_grad()
            loss = (prepared(x)[0] - target).square().mean()
            loss.backward()
            optimizer.step()
        losses[learn] = loss.item()
    assert losses[True] < 0.3 * losses[False]


@pytest.mark.parametrize("learn_ranges", [False, True])
def test_ranges_are_calibrated_anew(sequences, learn_ranges):
    x = sequences(3, 9, 3)
    recipe = dl.Recipe(activations="int5")
    torch.manual_seed(0)
    module = nn.RNN(3, 4, nonlinearity="relu", batch_first=True)
    prepared = dl.prepare(module, recipe, x, learn_ranges=learn_ranges)
    with torch.no_grad():
        for parameter in prepared.cells.parameters():
            parameter *= 3
        for parameter in module.parameters():
            parameter *= 3
    prepared.calibrate(2 * x)
    wanted = dl.quantize(module, 2 * x, recipe)
    np.testing.assert_array_equal(dl.quantize(prepared)(3 * x), wanted(3 * x))
    output, _ = prepared(torch.from_numpy(3 * x))
    np.testing.assert_array_equal(output.detach(), wanted(3 * x))


def test_learned_ranges_of_streams_that_fork_and_join(sequences, forked):
    x = sequences(2, 9, 3)
    network = forked
    prepared = dl.prepare(network, dl.Recipe(activations="int5"), x, learn_ranges=True)
    with torch.no_grad():
        prepared.ranges.log2_steps -= 1
    found = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))
    found.sum().backward()
