"""Random networks of random recipes: what is trained is what is deployed, in every bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl

KINDS = [
    *(nn.RNN, nn.LSTM, nn.GRU, dl.nn.LiGRU, dl.nn.CoupledLSTM, dl.nn.PeepholeLSTM),
    *(dl.nn.ResetBeforeGRU, dl.nn.SRU, dl.nn.LayerNormLSTM),
]
WEIGHTS = [
    *("int2", "int3", "int4", "int8", "int12", "int16", "binary", "ternary", "quaternary"),
    *("shift2", "shift3", "shift4"),
]


class Network(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.inputs, hidden, layers = (int(rng.integers(1, high)) for high in (9, 12, 4))
        kind = KINDS[rng.integers(len(KINDS))]
        self.first = kind(self.inputs, hidden, layers, batch_first=True, bias=rng.random() < 0.7)
        self.second = nn.Linear(hidden, 4)
        self.third = nn.GRU(4, 3, batch_first=True)
        self.fourth = nn.Linear(3, 2)
        self.squashed, self.last = rng.random() < 0.5, rng.random() < 0.5
        with torch.no_grad():
            for parameter in self.parameters():
                parameter *= rng.uniform(0.3, 3)

    def forward(self, x):
        y = self.second(self.first(x)[0])
        y = self.third(torch.tanh(y) if self.squashed else y)[0]
        return self.fourth(y[:, -1]) if self.last else torch.relu(self.fourth(y))


class Graph(nn.Module):
    """Streams that fork and join: words or frames, two directions, attention, pools."""

    def __init__(self, rng):
        super().__init__()
        self.words = bool(rng.random() < 0.5)
        size, hidden = (int(rng.integers(1, high)) for high in (6, 8))
        self.inputs = 1 if self.words else size
        self.embedding = nn.Embedding(11, size) if self.words else None
        taps = nn.Conv1d(size, 4, 3, padding=1)
        self.taps = taps if rng.random() < 0.5 else None
        both = bool(rng.random() < 0.5)
        kind = KINDS[rng.integers(len(KINDS))]
        self.rnn = kind(4 if self.taps else size, hidden, batch_first=True, bidirectional=both)
        width = 2 * hidden if both else hidden
        form, causal = str(rng.choice(["dot", "additive"])), bool(rng.random() < 0.5)
        attention = dl.nn.Attention(width, 3, form, causal, batch_first=True)
        self.attention = attention if rng.random() < 0.5 else None
        self.energies = self.attention is not None and form == "additive"
        self.pool = str(rng.choice(["mean", "max", "last", "none"]))
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        if self.embedding is not None:
            x = self.embedding(x)
        if self.taps is not None:
            x = torch.relu(self.taps(x.transpose(1, 2))).transpose(1, 2)
        y, _ = self.rnn(x)
        if self.attention is not None:
            y = y + self.attention(y)
        match self.pool:
            case "mean":
                y = y.mean(dim=1)
            case "max":
                y = y.amax(dim=1)
            case "last":
                y = y[:, -1]
        return self.head(y)


def random_recipe(rng):
    skip = str(rng.choice(["none", "zero", "delta", "top_k"]))
    adaptive = {"tables": "adaptive", "segments": int(rng.integers(1, 33))}
    return dl.Recipe(
        weights=str(rng.choice(WEIGHTS)),
        activations=str(rng.choice(["int2", "int3", "int5", "int8", "int16"])),
        skip=skip,
        theta=int(rng.integers(0, 4)) if skip == "delta" else 0,
        k=int(rng.integers(1, 8)) if skip == "top_k" else None,
        clip=str(rng.choice(["mse", "minmax"])),
        elementwise=int(rng.choice([8, 12, 16])),
        scale=str(rng.choice(["power-of-two", "real"])),
        rounding=str(rng.choice(["nearest", "stochastic"])),
        **(adaptive if rng.random() < 0.5 else {}),
    )


def check(seed, kind=Network):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model, recipe = kind(rng), random_recipe(rng)
    if getattr(model, "energies", False):  # they are integers alone
        whole = {"weights": "int4", "scale": "power-of-two"}
        recipe = replace(recipe, paths={"attention.score.t": whole})
    shapes = [(int(rng.integers(1, 9)), model.inputs) for _ in range(rng.integers(1, 6))]
    words = getattr(model, "words", False)
    x = [
        torch.from_numpy(rng.integers(0, 11, shape) if words else rng.normal(size=shape)).float()
        for shape in shapes
    ]
    learned = bool(rng.random() < 0.5)
    prepared = dl.prepare(model, recipe, x, learn_ranges=learned)
    with torch.no_grad():
        for parameter in prepared.cells.parameters():
            parameter += (
                rng.choice([0, 0.1, 1]) * parameter.abs().mean() * torch.randn_like(parameter)
            )
        if learned:
            steps = prepared.ranges.log2_steps
            steps += torch.from_numpy(rng.uniform(-1.2, 1.2, len(steps))).float()
    y = x if words else [2 * part for part in x]
    prepared.eval()  # stochastic weights are drawn anew in training
    outputs = prepared(y)
    for found, wanted in zip(outputs, dl.quantize(prepared)(y), strict=True):
        np.testing.assert_array_equal(found.detach(), wanted)
    sum(found.square().sum() for found in outputs).backward()
    gradients = [parameter.grad for parameter in prepared.parameters()]
    assert all(found is None or found.isfinite().all() for found in gradients)


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    check(seed)


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs(seed):
    check(seed, Graph)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(25, 225, 100))
def test_many_random_graphs(first):
    for seed in range(first, first + 100):
        check(seed, Graph)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(25, 425, 100))
def test_many_random_networks(first):
    for seed in range(first, first + 100):
        check(seed)
