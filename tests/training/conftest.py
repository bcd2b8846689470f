"""Random float networks of every kind, data for them, and modules moved from where they began."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.network import (
    Concatenate,
    Layer,
    Network,
    Pool,
    Reverse,
    Sum,
    parameter_shapes,
)


def projected_lstm(*arguments, **options):
    return nn.LSTM(*arguments, **options, proj_size=3)


RECURRENT = [
    *(nn.RNN, nn.LSTM, nn.GRU, projected_lstm),
    *(dl.nn.LiGRU, dl.nn.CoupledLSTM, dl.nn.PeepholeLSTM, dl.nn.ResetBeforeGRU, dl.nn.SRU),
    dl.nn.LayerNormLSTM,
]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 6, num_layers=2, batch_first=True, dropout=0.5)
        self.head = nn.Linear(6, 4)

    def forward(self, clips, flag=None):
        out, _ = self.rnn(clips)
        return torch.relu(self.head(out[:, -1]))


@pytest.fixture(params=RECURRENT, ids=lambda kind: kind.__name__)
def recurrent(request):
    """Makes a recurrent module of each kind: of 3 outputs if it projects, else of hidden_size."""
    return request.param


@pytest.fixture
def classifier():
    """Makes a module of layers: (batch, time, 3) to (batch, 4)."""
    return Classifier


@pytest.fixture
def sequences():
    """Makes normal float32 data of a shape."""

    def make(*shape, seed=0):
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    return make


@pytest.fixture
def moved():
    """Gives a prepared module other weights than those it was made with."""

    def move(prepared, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in prepared.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        return prepared

    return move


@pytest.fixture
def random_layer():
    def make(name, cell, *, seed=0, scale=1.0, sources=()):
        rng = np.random.default_rng(seed)
        graph = trace(cell)
        parameters = {
            key: rng.normal(size=shape) * (scale / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)
            for key, shape in parameter_shapes(graph).items()
        }
        return Layer(name, type(cell).__name__, graph, parameters, sources)

    return make


@pytest.fixture
def forked(random_layer):
    """Two directions, a residual connection, and the largest value over time; 3 features."""
    return Network(
        (
            random_layer("forward", GRU(3, 4), sources=("input",)),
            Reverse("turn", 12, sources=("input",)),
            random_layer("backward", LSTM(3, 4), seed=1, sources=("turn",)),
            Reverse("return", 12, sources=("backward",)),
            Concatenate("both", sources=("forward", "return")),
            random_layer("mix", Linear(8, 8, "tanh"), seed=2, sources=("both",)),
            Sum("sum", sources=("mix", "both")),
            Pool("largest", "max"),
            random_layer("head", Linear(8, 2), seed=3),
        )
    )
