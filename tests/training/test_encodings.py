import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import deltaloom as dl

ENCODINGS = ["binary", "ternary", "quaternary", "shift3"]


def sequences(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("weights", ENCODINGS)
def test_equals_the_quantized_model_in_every_bit(tmp_path, weights, scale):
    torch.manual_seed(0)
    x = sequences(3, 9, 3)
    recipe = dl.Recipe(weights, "int4", skip="delta", theta=2, scale=scale)
    prepared = dl.prepare(nn.LSTM(3, 5, batch_first=True), recipe, x, learn_ranges=True)
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    quantized = dl.quantize(prepared)
    output, _ = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(output.detach(), quantized(x))
    safetensors.torch.save_file(prepared.state_dict(), tmp_path / "checkpoint.safetensors")
    other = dl.prepare(nn.LSTM(3, 5, batch_first=True), recipe, 2 * x, learn_ranges=True)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "checkpoint.safetensors"))
    np.testing.assert_array_equal(dl.quantize(other)(x), quantized(x))


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("weights", ENCODINGS)
def test_training_lowers_the_loss(weights, scale):
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(32, 10, 2))
    target = 0.3 * x.cumsum(dim=1).mean(dim=2, keepdim=True)

    class Follower(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(2, 8, batch_first=True)
            self.head = nn.Linear(8, 1)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    prepared = dl.prepare(Follower(), dl.Recipe(weights, "int6", scale=scale), x)
    optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (prepared(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.parametrize("skip", ["none", "delta"])
def test_real_scales_do_not_change_derivatives(skip):
    """With 16 bits throughout, those of a model with real scales are near those without."""
    torch.manual_seed(0)
    module, x = nn.GRU(3, 5, batch_first=True), sequences(4, 9, 3)
    found = []
    for scale in ("power-of-two", "real"):
        recipe = dl.Recipe("int16", "int16", skip=skip, scale=scale, clip="minmax")
        prepared = dl.prepare(module, recipe, x)
        prepared(torch.from_numpy(x))[0].square().sum().backward()
        found.append({name: p.grad.numpy() for name, p in prepared.named_parameters()})
    for name, wanted in found[0].items():
        np.testing.assert_allclose(found[1][name], wanted, rtol=0, atol=2e-3 * abs(wanted).max())
