"""Functions and methods that make graphs of layers, against torch in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.network import ArgMax, Pool, Sum


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Model(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.rnn = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.entry = nn.Linear(3, 8)
        self.other = nn.Linear(3, 8)
        self.head = nn.Linear(8, 2)
        self.keep = nn.Linear(3, 3)
        self.bias = nn.Parameter(torch.randn(8))

    def forward(self, x):
        return self.body(self, x)


def iadd(m, x):
    y = m.entry(x)
    y += m.other(x)
    return y


CASES = {
    "sum": lambda m, x: m.entry(x) + m.rnn(x)[0],
    "torch.add": lambda m, x: torch.add(m.entry(x), m.rnn(x)[0]),
    "weighted sum": lambda m, x: torch.add(m.entry(x), m.other(x), alpha=-0.75),
    "method add": lambda m, x: m.entry(x).add(m.other(x)),
    "in place": iadd,
    "sum with the input": lambda m, x: x + m.keep(x),
    "sum with the input first": lambda m, x: m.keep(x) + x,
    "sum of three": lambda m, x: m.entry(x) + m.other(x) + m.rnn(x)[0],
    "activated sum": lambda m, x: torch.relu(m.entry(x) + m.other(x)),
    "difference": lambda m, x: m.entry(x) - m.other(x),
    "difference of recurrent": lambda m, x: m.rnn(x)[0] - m.other(x),
    "factor": lambda m, x: 0.5 * m.entry(x),
    "factor of a sum": lambda m, x: (m.entry(x) + m.other(x)) * 0.5,
    "quotient": lambda m, x: m.entry(x) / 3,
    "negative": lambda m, x: -m.rnn(x)[0],
    "constant minus": lambda m, x: 1 - m.entry(x).sigmoid(),
    "bias": lambda m, x: m.entry(x) + m.bias,
    "bias of recurrent": lambda m, x: m.rnn(x)[0] + m.bias,
    "gain of a feature": lambda m, x: m.rnn(x)[0] * m.bias,
    "cat": lambda m, x: torch.cat([m.entry(x), m.rnn(x)[0]], dim=2),
    "cat with the input": lambda m, x: m.keep(torch.cat((x[..., :],), -1)),
    "concat with the input": lambda m, x: torch.concat([m.entry(x), x], -1),
    "mean": lambda m, x: m.rnn(x)[0].mean(dim=1),
    "torch.mean": lambda m, x: torch.mean(m.rnn(x)[0], 1),
    "mean with its axis": lambda m, x: m.head(m.rnn(x)[0].mean(1, keepdim=True)).squeeze(1),
    "amax": lambda m, x: m.head(m.rnn(x)[0].amax(1)),
    "max values": lambda m, x: m.rnn(x)[0].max(dim=1).values,
    "max pair": lambda m, x: torch.max(m.rnn(x)[0], 1)[0],
    "activated max": lambda m, x: torch.tanh(m.rnn(x)[0].amax(1)),
    "activated mean": lambda m, x: torch.tanh(m.rnn(x)[0].mean(1)),
    "mean and max": lambda m, x: torch.cat([m.rnn(x)[0].mean(1), m.entry(x).amax(1)], 1),
    "argmax": lambda m, x: m.entry(x).argmax(-1),
    "argmax of the last timestep": lambda m, x: torch.argmax(m.rnn(x)[0][:, -1], dim=1),
    "argmax of softmax": lambda m, x: torch.softmax(m.head(m.rnn(x)[0]), -1).argmax(-1),
    "argmax of log_softmax": lambda m, x: functional.log_softmax(m.entry(x), dim=2).argmax(2),
    "max indices": lambda m, x: m.entry(x).max(-1)[1],
    "flip": lambda m, x: torch.flip(m.entry(x), [1]),
    "flip of the input": lambda m, x: m.entry(x.flip(1)),
    "activated flip": lambda m, x: torch.relu(m.entry(x).flip(1)),
    "adaptive pool": lambda m, x: functional.adaptive_avg_pool1d(
        m.rnn(x)[0].transpose(1, 2), 1
    ).flatten(1),
    "reshape": lambda m, x: m.head(m.rnn(x)[0][:, -1:].reshape(x.size(0), -1)),
    "view": lambda m, x: m.entry(x).mean(1).view(x.shape[0], 8),
    "features first": lambda m, x: m.entry(x).transpose(1, 2),
    "unsqueezed": lambda m, x: m.head(m.rnn(x)[0][:, -1].unsqueeze(1).squeeze(1)),
    "indexed": lambda m, x: m.head(m.rnn(x)[0][:, None][:, 0][:, -1]),
    "float and back": lambda m, x: m.entry(x.to(torch.float64)).double().contiguous(),
    "shared with its activation": lambda m, x: (lambda y: y + torch.relu(y))(m.rnn(x)[0]),
    "linear shared": lambda m, x: (lambda y: torch.tanh(y) - torch.relu(y))(m.entry(x)),
}


@pytest.mark.parametrize("case", CASES)
def test_computes_what_torch_does(check_torch, case):
    check_torch(Model(CASES[case]))


def test_pools_and_indices_are_layers(check_torch):
    network = check_torch(Model(CASES["mean and max"]))
    pools = [layer.function for layer in network.layers if isinstance(layer, Pool)]
    assert sorted(pools) == ["max", "mean"]
    assert isinstance(check_torch(Model(CASES["argmax of softmax"])).layers[-1], ArgMax)
    sums = check_torch(Model(CASES["sum of three"])).layers
    assert sum(isinstance(layer, Sum) for layer in sums) == 2


REFUSALS = {
    "product": (
        lambda m, x: m.entry(x) * m.other(x),
        "Function mul multiplies two computed tensors; supported is a tensor and a constant",
    ),
    "sum over time": (
        lambda m, x: m.entry(x) + m.other(x)[:, -1],
        r"Function add adds tensors with axes \(batch, time, features\) of lengths \(batch, time, "
        r"8\) and \(batch, features\) of lengths \(batch, 8\); supported is a sum of equal ones",
    ),
    "sum of sizes": (
        lambda m, x: m.entry(x) + m.keep(x),
        r"Function add adds tensors with axes \(batch, time, features\) of lengths \(batch, time, "
        r"8\) and \(batch, time, features\) of lengths \(batch, time, 3\); supported is a sum of "
        r"equal ones",
    ),
    "cat along time": (
        lambda m, x: torch.cat([m.entry(x), m.other(x)], 1),
        "Function cat joins along the time axis; supported are features",
    ),
    "mean of features": (
        lambda m, x: m.entry(x).mean(-1),
        "Method mean reduces the features axis; supported is time",
    ),
    "mean of everything": (
        lambda m, x: m.entry(x).mean(),
        "Method mean reduces all axes; supported is time, by number",
    ),
    "time of the largest": (
        lambda m, x: m.entry(x).max(1)[1],
        "Output of Model reads the timestep of the largest value, which no layer gives",
    ),
    "largest feature": (
        lambda m, x: m.entry(x).max(-1).values,
        "Output of Model reads the largest feature, which no layer gives",
    ),
    "argmax over time": (
        lambda m, x: m.entry(x).argmax(1),
        "Method argmax searches the time axis; supported are features",
    ),
    "softmax in between": (
        lambda m, x: m.head(torch.softmax(m.entry(x), -1)),
        r"Module head \(Linear\) reads what Function softmax gives; supported is argmax of the "
        r"features, for which softmax changes nothing and can be left out",
    ),
    "integers": (
        lambda m, x: m.entry(x.long()),
        "Method long rounds numbers to integers; supported is indices, without features",
    ),
    "scaled input": (
        lambda m, x: m.entry(x * 2),
        "Function mul follows the input; supported is it after a layer",
    ),
    "features in reverse": (
        lambda m, x: m.entry(x).flip(2),
        "Method flip reverses the features axis; supported is time",
    ),
    "size of a tensor in arithmetic": (
        lambda m, x: m.entry(x).view(x.size(0) * x.size(1), 8),
        "Function mul reads a tensor that is not computed from the input; supported are layers",
    ),
    "changed in place": (
        lambda m, x: (lambda y: m.head(y.relu_() + y))(m.entry(x)),
        "Method relu_ has inplace=True and changes a tensor that is used elsewhere too; supported "
        "is inplace=False there",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case):
    body, sentence = REFUSALS[case]
    with pytest.raises(UnsupportedError, match=f"^{sentence}$"):
        from_torch(Model(body), max_steps=9)
