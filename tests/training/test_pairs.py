"""Training of networks with a memory: equal to the golden model in every bit, and it learns."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.network import Concatenate, Network

BATCH, TIME, KEPT = 4, 6, 9
RECIPES = {
    "wide": dl.Recipe(),
    "narrow": dl.Recipe(weights="int4", activations="int4", elementwise=8),
    "delta": dl.Recipe(weights="int5", skip="delta", theta=2),
}


class Translator(nn.Module):
    def __init__(self, form="dot"):
        super().__init__()
        self.encoder = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(2, 5, batch_first=True)
        self.attention = dl.nn.Attention(5, 3, form, causal=False, memory_size=8, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x, memory):
        h, _ = self.decoder(x)
        return self.head(torch.cat([h, self.attention(h, self.encoder(memory)[0])], dim=2))


class Words(nn.Module):
    """The memory comes first, in time; both are indices."""

    def __init__(self):
        super().__init__()
        self.known, self.said = nn.Embedding(7, 3), nn.Embedding(5, 2)
        self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(2, 4)
        self.attention = dl.nn.Attention(4, 3, causal=False)

    def forward(self, source, target):
        h, _ = self.decoder(self.said(target))
        return h + self.attention(h, self.encoder(self.known(source))[0])


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(BATCH, TIME, 2), torch.randn(BATCH, KEPT, 3)


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_equals_the_quantized_model_in_every_bit(data, form, recipe):
    x, memory = data
    module = Translator(form)
    prepared = dl.prepare(module, RECIPES[recipe], x, memory=memory).eval()
    quantized = dl.quantize(prepared)
    wanted = quantized(x, memory=memory)
    np.testing.assert_array_equal(prepared(x, memory).detach(), wanted)
    np.testing.assert_array_equal(prepared(memory=memory, x=x).detach(), wanted)
    same = dl.quantize(module, x, RECIPES[recipe], memory=memory)
    np.testing.assert_array_equal(
        same.integer(x, memory=memory), quantized.integer(x, memory=memory)
    )


def test_sequences_of_other_lengths(data):
    x, memory = data
    prepared = dl.prepare(Translator(), dl.Recipe(skip="delta"), x, memory=memory)
    asked = [x[place, : 1 + place] for place in range(BATCH)]
    kept = [memory[place, : KEPT - 2 * place] for place in range(BATCH)]
    wanted = dl.quantize(prepared)(asked, memory=kept)
    for found, values in zip(prepared(asked, kept), wanted, strict=True):
        np.testing.assert_array_equal(found.detach(), values)


def test_arguments_in_the_modules_order():
    rng = np.random.default_rng(0)
    source, target = (torch.from_numpy(rng.integers(0, n, (t, BATCH))) for n, t in ((7, 9), (5, 6)))
    x, memory = (part.T[:, :, None] for part in (target, source))
    torch.manual_seed(0)
    prepared = dl.prepare(Words(), None, x, memory=memory)
    wanted = dl.quantize(prepared)(x, memory=memory)
    found = prepared(source, target).detach().transpose(0, 1)
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(dl.DeltaloomError, match="Memory must"):
        prepared(source + 7, target)


def test_networks(random_layer, data):
    x, memory = data
    network = Network(
        (
            random_layer("encoder", GRU(3, 5), sources=("memory",)),
            random_layer("decoder", GRU(2, 5), sources=("input",)),
            Attention("att", "dot", False, KEPT, sources=("decoder", "encoder", "encoder")),
            Concatenate("both", sources=("decoder", "att")),
            random_layer("head", Linear(10, 3), sources=("both",)),
        )
    )
    prepared = dl.prepare(network, None, x, memory=memory)
    wanted = dl.quantize(prepared)(x, memory=memory)
    np.testing.assert_array_equal(prepared(x, memory=memory).detach(), wanted)


def test_learns(data):
    """Both sides of the attention have derivatives that lead downwards."""
    x, memory = data
    prepared = dl.prepare(Translator(), dl.Recipe(skip="delta"), x, memory=memory)
    targets = torch.randn(BATCH, TIME, 3)
    optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(prepared(x, memory), targets)
        (loss + 0 * prepared.delta_activity()).backward()
        if not losses:
            for name, parameter in prepared.named_parameters():
                if not name.endswith("k_proj.y.bias.value"):  # which softmax takes out
                    assert parameter.grad.abs().max() > 0, name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    prepared.calibrate(x, memory)
    np.testing.assert_array_equal(
        prepared(x, memory).detach(), dl.quantize(prepared)(x, memory=memory)
    )


def test_refusals(data):
    x, memory = data
    with pytest.raises(dl.DeltaloomError, match="^Memory must be given"):
        dl.prepare(Translator(), None, x)
    prepared = dl.prepare(Translator(), None, x, memory=memory)
    with pytest.raises(TypeError, match="must be called with its memory, memory"):
        prepared(x)
    with pytest.raises(dl.UnsupportedError, match="is given more than its input and memory"):
        prepared(x, memory, torch.ones(1))
    with pytest.raises(dl.UnsupportedError, match="is given more than its input and memory"):
        prepared(x, memory, memory=memory)
    with pytest.raises(dl.DeltaloomError, match=r"Memory must have shape \(batch, time, 3\)"):
        prepared(x, x)
    with pytest.raises(dl.DeltaloomError, match="a sequence for each of the input, 4, not 3"):
        prepared(x, memory[1:])
    with pytest.raises(dl.DeltaloomError, match="at most 9 timesteps"):
        prepared(x, torch.cat([memory, memory], dim=1))
