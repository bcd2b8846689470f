"""Attention in training: equal to the golden model in every bit, with derivatives of the float."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import LastStep, Network

RECIPES = {
    "wide": dl.Recipe(),
    "narrow": dl.Recipe(weights="int4", activations="int4", elementwise=8),
    "delta": dl.Recipe(weights="int5", skip="delta", theta=2),
}


class Translator(nn.Module):
    """An integer-only network as in iRNN: embedding, LayerNorm LSTM, attention, linear."""

    def __init__(self, form="dot", causal=True):
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.rnn = dl.nn.LayerNormLSTM(4, 6, batch_first=True)
        self.attention = dl.nn.Attention(6, 5, form, causal=causal, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        h, _ = self.rnn(self.embedding(x))
        return self.head(h + self.attention(h))


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("recipe", RECIPES)
def test_equals_the_quantized_model_in_every_bit(moved, form, causal, recipe):
    torch.manual_seed(0)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 11, (3, 9)))
    module = Translator(form, causal)
    prepared = moved(dl.prepare(module, RECIPES[recipe], x[:, :, None], max_steps=9)).eval()
    quantized = dl.quantize(prepared)
    found = prepared(x)
    np.testing.assert_array_equal(quantized(x[:, :, None]), found.detach())


def network(make, form, causal):
    energies = np.random.default_rng(7).normal(size=4) if form == "additive" else None
    return Network(
        (
            make("q", Linear(3, 4), sources=("input",)),
            make("k", GRU(3, 4), seed=1, sources=("input",)),
            make("v", Linear(3, 5), seed=2, sources=("input",)),
            Attention("att", form, causal, 12, energies=energies, sources=("q", "k", "v")),
            make("head", Linear(5, 2), seed=3),
        )
    )


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("causal", [True, False])
def test_sequences_of_different_lengths(sequences, moved, random_layer, form, causal):
    x = [sequences(length, 3, seed=length) for length in (12, 1, 5)]
    float_network = network(random_layer, form, causal)
    prepared = moved(dl.prepare(float_network, dl.Recipe(skip="zero"), x)).eval()
    for found, wanted in zip(prepared(x), dl.quantize(prepared)(x), strict=True):
        np.testing.assert_array_equal(found.detach(), wanted)


def test_a_final_state_asks(sequences, moved, random_layer):
    layers = (
        random_layer("rnn", GRU(3, 4)),
        LastStep("last"),
        Attention("att", "dot", False, 9, sources=("last", "rnn", "rnn")),
    )
    x = [sequences(length, 3, seed=length) for length in (9, 2)]
    prepared = moved(dl.prepare(Network(layers), dl.Recipe(), x)).eval()
    np.testing.assert_array_equal(prepared(x).detach(), dl.quantize(prepared)(x))


@pytest.mark.parametrize("form", ["dot", "additive"])
@pytest.mark.parametrize("causal", [True, False])
def test_derivatives_are_those_of_the_float_module(form, causal):
    """With 16 bits everywhere the derivatives differ by little from those without any rounding."""
    torch.manual_seed(0)
    module = dl.nn.Attention(4, 6, form, causal=causal, batch_first=True).double()
    x = torch.randn(3, 8, 4, dtype=torch.float64)
    recipe = dl.Recipe(weights="int16", activations="int16", clip="minmax")
    prepared = dl.prepare(module, recipe, x, max_steps=8)
    weights = torch.randn(3, 8, 4, dtype=torch.float64)

    def derivatives(called, parameters):
        given = x.clone().requires_grad_()
        (called(given) * weights).sum().backward()
        return [given.grad, *(parameter.grad for parameter in parameters)]

    names = [("q_proj", "y.x"), ("k_proj", "y.x"), ("v_proj", "y.x"), ("out_proj", "y.x")]
    theirs = [getattr(module, name).weight for name, _ in names]
    kept = dict(prepared.named_parameters())
    ours = [kept[f"cells.attention.{name}.{weight}.value"] for name, weight in names]
    if form == "additive":
        theirs.append(module.energies)
        ours.append(kept["cells.attention.energies.value"])
    pairs = zip(derivatives(prepared, ours), derivatives(module, theirs), strict=True)
    for found, wanted in pairs:
        error = (found - wanted).norm() / wanted.norm()
        assert error < 0.005


@pytest.mark.parametrize("form", ["dot", "additive"])
def test_training_finds_what_was_said_before(form):
    """The answer at the end is the word that followed a marker, at any distance."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6, 4)).astype(np.float32) * 0.2
    places = rng.integers(0, 6, 32)
    labels = torch.from_numpy((rng.random(32) < 0.5).astype(np.int64))
    x[np.arange(32), places, 0] = 2
    x[np.arange(32), places, 1] = 2 * labels.numpy() - 1
    x = torch.from_numpy(x)
    module = nn.Sequential(dl.nn.Attention(4, 6, form, batch_first=True), nn.Linear(4, 2))
    prepared = dl.prepare(module, dl.Recipe(weights="int4"), x, max_steps=6)
    optimizer = torch.optim.Adam(prepared.parameters(), 0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(prepared(x)[:, -1], labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 < losses[0]
    frozen = dl.quantize(prepared)
    np.testing.assert_array_equal(frozen(x), prepared.eval()(x).detach())


def test_checkpoints_and_learned_ranges(sequences, random_layer):
    x = [sequences(length, 3, seed=length) for length in (12, 5)]
    made = [
        dl.prepare(network(random_layer, "additive", True), dl.Recipe(), x, learn_ranges=True)
        for _ in range(2)
    ]
    sum(part.sum() for part in made[0](x)).backward()
    torch.optim.SGD(made[0].parameters(), 0.05).step()
    made[1].load_state_dict(made[0].state_dict())
    for found, wanted in zip(made[1](x), made[0](x), strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(dl.quantize(made[0])(x), made[0](x), strict=True):
        np.testing.assert_array_equal(found, wanted.detach())


def test_a_sequence_without_room_is_refused(sequences, random_layer):
    prepared = dl.prepare(network(random_layer, "dot", True), dl.Recipe(), sequences(2, 12, 3))
    with pytest.raises(DeltaloomError, match=r"at most 12 timesteps, which is what layer att has"):
        prepared(torch.from_numpy(sequences(1, 13, 3)))
