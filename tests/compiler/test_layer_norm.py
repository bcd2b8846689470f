"""Layer normalisation: against torch, in integers, and in hardware."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.cell import Cell, tanh
from deltaloom.compiler.cells import LayerNormLSTM
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.graph import Inverse, Reduce
from deltaloom.compiler.recipe import Recipe


def normed(kind=nn.LSTM, **options):
    """A recurrent layer, its normalised output, and a head."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(3, 5, batch_first=True)
            self.norm = nn.LayerNorm(5, **options)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.norm(self.rnn(x)[0]))

    torch.manual_seed(0)
    model = Model().double()
    with torch.no_grad():
        for parameter in model.norm.parameters():
            parameter.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("options", [{}, {"eps": 0.1}, {"elementwise_affine": False}])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, dl.nn.SRU])
def test_a_layers_output_normalised(kind, options):
    model = normed(kind, **options)
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    with torch.no_grad():
        want = model(torch.tensor(x)).numpy()
    network = from_torch(model)
    assert [layer.name for layer in network.layers] == ["rnn.0", "head"]
    np.testing.assert_allclose(evaluate(network, x), want, rtol=0, atol=1e-12)


def test_sixteen_bits_are_close():
    model = normed()
    x = np.random.default_rng(0).normal(size=(8, 40, 3))
    with torch.no_grad():
        want = model(torch.tensor(x)).numpy()
    quantized = dl.quantize(model, x, dl.Recipe("int16", "int16"))
    assert np.abs(quantized(x) - want).max() < 2e-3


@pytest.mark.parametrize("form", ["variance", "mad"])
@pytest.mark.parametrize(
    ("hidden", "lanes"),
    [
        (1, 1),
        (5, 3),
        pytest.param(7, 30, marks=pytest.mark.slow),
        pytest.param(2, 5, marks=pytest.mark.slow),
    ],
)
def test_lstm_in_hardware(integer_network, prove, form, hidden, lanes):
    network = integer_network(LayerNormLSTM(3, hidden, form), recipe=Recipe(skip="delta"))
    (layer,) = network.layers
    assert [stage.multiplies for stage in layer.stages] == [
        True,
        *[False] * (len(layer.stages) - 1),
    ]
    assert len(layer.stages) == (3 if form == "variance" else 5)
    prove(network, {"l.0": lanes}, stalls=(0.0, 0.6))


@pytest.mark.parametrize("kind", [nn.GRU, dl.nn.SRU, nn.RNN])
def test_output_in_hardware(kind, prove):
    x = np.random.default_rng(0).normal(size=(4, 20, 3))
    model = dl.quantize(normed(kind), x, dl.Recipe(skip="zero"))
    prove(model.network, {"rnn.0": 4, "head": 1}, lengths=(1, 1, 1, 4, 1, 2), stalls=(0.0, 0.7))


def test_model_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 20, 3))
    model = dl.quantize(normed(), x)
    model.save(tmp_path / "a.safetensors")
    again = dl.load(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    np.testing.assert_array_equal(again(x), model(x))


def test_worst_cases_are_proven(integer_network):
    """Sums hold what the widest gates can add up to, and no sum needs more than 60 bits."""
    (layer,) = integer_network(LayerNormLSTM(3, 5)).layers
    nodes, count = layer.graph.nodes, 4 * 5
    low = -(1 << 15)
    reduced = [node.format for _, node in layer.graph.of(Reduce)]
    assert all(reduced[at].min <= count * low for at in (0, 2))
    assert all(reduced[at].max >= count * low**2 for at in (1, 3))
    inverses = [nodes[node.operand].format for _, node in layer.graph.of(Inverse)]
    for format, elements in zip(inverses, (20, 20, 5), strict=True):
        assert format.width <= 60
        assert format.max >= elements**2 * low**2


class Twice(Cell):
    """A sum that is used two passes later."""

    states = ("h",)

    def step(self, x, h):
        v = tanh(self.affine("v", x, h)).rounded()
        total = v.sum()
        d = v.scaled(4) - total
        return (d - d.rounded().sum()) - total


class Loose(Cell):
    states = ("h",)

    def step(self, x, h):
        v = tanh(self.affine("v", x, h)).rounded()
        return tanh(self.affine("n", x, (v - v.sum()).named("vv")))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (Twice, "must go into vectors of the pass that follows it alone"),
        (Loose, "must multiply what a stage computes from products in the stage that follows it"),
    ],
)
def test_refuses_cells(integer_network, cell, sentence):
    with pytest.raises(DeltaloomError, match=re.escape(sentence)):
        integer_network(cell(3, 4))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(3)),
            "Module 1 (LayerNorm) normalises 3 of 4 features; supported is all of them",
        ),
        (
            nn.Sequential(nn.Linear(3, 4), nn.LayerNorm((7, 4))),
            "Module 1 (LayerNorm) has normalized_shape=(7, 4); supported is that of the features "
            "alone",
        ),
    ],
)
def test_refuses_modules(model, sentence):
    with pytest.raises(UnsupportedError, match=f"^{re.escape(sentence)}$"):
        from_torch(model)


def test_form_is_one_of_two():
    with pytest.raises(ValueError, match="^form must be 'variance' or 'mad', not 'rms'$"):
        dl.nn.LayerNormLSTM(2, 3, form="rms")
