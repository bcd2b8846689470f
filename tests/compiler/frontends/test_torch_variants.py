"""Modules of deltaloom.nn through the front end and into hardware."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch

KINDS = {
    "LayerNormLSTM": dl.nn.LayerNormLSTM,
    "LiGRU": dl.nn.LiGRU,
    "CoupledLSTM": dl.nn.CoupledLSTM,
    "PeepholeLSTM": dl.nn.PeepholeLSTM,
    "ResetBeforeGRU": dl.nn.ResetBeforeGRU,
    "SRU": dl.nn.SRU,
}


def trained(kind, *sizes, **options):
    """A module whose running statistics are not those it starts with."""
    torch.manual_seed(0)
    module = kind(*sizes, **options).double()
    with torch.no_grad():
        shape = (9, 4, module.input_size)
        module(2 * torch.randn(shape).double() + 1)
        for child in module.children():
            child.weight.uniform_(0.5, 1.5)
            if child.bias is not None:
                child.bias.uniform_(-1, 1)
    return module.eval()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 7, 2), (5, 2, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_computes_what_the_module_does(kind, sizes, bias, batch_first):
    module = trained(KINDS[kind], *sizes, bias=bias, batch_first=batch_first, dropout=0.3)
    network = from_torch(module)
    assert [layer.name for layer in network.layers] == [
        f"{kind.lower()}.{index}" for index in range(module.num_layers)
    ]
    x = np.random.default_rng(0).normal(size=(3, 11, sizes[0]))
    given = torch.tensor(x if batch_first else x.swapaxes(0, 1))
    with torch.no_grad():
        want = module(given)[0].numpy()
    got = evaluate(network, x)
    np.testing.assert_allclose(
        got, want if batch_first else want.swapaxes(0, 1), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("bias", [True, False])
def test_mean_absolute_deviation(bias):
    torch.manual_seed(0)
    module = dl.nn.LayerNormLSTM(3, 5, 2, form="mad", eps=1e-3, bias=bias, batch_first=True)
    module = module.double()
    x = np.random.default_rng(0).normal(size=(3, 11, 3))
    with torch.no_grad():
        want = module(torch.tensor(x))[0].numpy()
    np.testing.assert_allclose(evaluate(from_torch(module), x), want, rtol=0, atol=1e-11)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
@pytest.mark.parametrize(("features", "rescale"), [(5, True), (5, False), (3, True)])
def test_options_of_sru(features, rescale, activation):
    """The highway is scaled in layers that keep the size."""
    torch.manual_seed(0)
    module = dl.nn.SRU(
        features, 5, 2, activation=activation, rescale=rescale, highway_bias=-1.5, batch_first=True
    ).double()
    x = np.random.default_rng(0).normal(size=(3, 11, features))
    with torch.no_grad():
        want = module(torch.tensor(x))[0].numpy()
    np.testing.assert_allclose(evaluate(from_torch(module), x), want, rtol=0, atol=1e-11)


class Classifier(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = kind(3, 5, batch_first=True, **options)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        out, _ = self.rnn(x, state=None)
        return self.head(out[:, -1])


@pytest.mark.parametrize("skip", ["delta", "zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_runs_in_hardware(kind, skip):
    torch.manual_seed(1)
    module = Classifier(KINDS[kind]).eval()
    x = np.random.default_rng(0).normal(size=(2, 15, 3))
    model = dl.quantize(module, x, dl.Recipe(skip=skip))
    run = dl.generate(model, lanes=7).simulate(x, "pysim")
    with torch.no_grad():
        want = module(torch.tensor(x, dtype=torch.float32)).numpy()
    assert np.abs(run.outputs - want).max() < 0.05 * max(1, np.abs(want).max())


def derived():
    class Mine(dl.nn.LiGRU):
        def step(self, u, state, suffix):
            return (state[0] * 0,)

    return Mine(2, 3)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (
            derived,
            r"Module ligru \(Mine\) has no cell in hardware; of deltaloom\.nn supported are "
            r"CoupledLSTM, LayerNormLSTM, LiGRU, PeepholeLSTM, ResetBeforeGRU, SRU$",
        ),
        (
            lambda: dl.nn.LiGRU(2, 3, bidirectional=True),
            r"Module ligru \(LiGRU\) walks sequences from their end",
        ),
    ],
)
def test_refuses_by_name(module, sentence):
    with pytest.raises(UnsupportedError, match=sentence):
        from_torch(module())
