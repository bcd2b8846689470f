"""What recurrent modules of torch start from: constants, inputs, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch

BATCH, TIME, INPUTS, HIDDEN = 3, 6, 2, 4


class Started(nn.Module):
    """A recurrent module that ``start`` says the initial state of, and a head."""

    def __init__(self, kind, start, **options):
        super().__init__()
        self.rnn = kind(INPUTS, HIDDEN, batch_first=True, **options)
        ways = 2 if self.rnn.bidirectional else 1
        count = self.rnn.num_layers * ways
        self.head = nn.Linear(ways * HIDDEN, 2)
        self.encoder = nn.GRU(INPUTS, HIDDEN, batch_first=True)
        self.h = nn.Parameter(torch.randn(count, 1, HIDDEN))
        self.register_buffer("c", torch.randn(count, 1, HIDDEN))
        self.register_buffer("whole", torch.randn(count, BATCH, HIDDEN))
        self.start = start

    def forward(self, x):
        return self.head(self.rnn(x, self.start(self, x))[0])


class Given(nn.Module):
    """A module that is called with states."""

    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(INPUTS, HIDDEN, batch_first=True)

    def forward(self, x, state):
        return self.rnn(x, state)[0]


class GivenTwo(Given):
    def forward(self, x, h, c):
        return self.rnn(x, (h, c))[0]


def expanded(m, x):
    return m.h.expand(-1, x.size(0), -1).contiguous()


def repeated(m, x):
    return (m.h.repeat(1, x.shape[0], 1), m.c.expand(m.c.shape[0], x.shape[0], HIDDEN))


def data():
    torch.manual_seed(1)
    return torch.randn(BATCH, TIME, INPUTS, dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "start", "options"),
    [
        (nn.GRU, expanded, {}),
        (nn.RNN, expanded, {"num_layers": 2}),
        (nn.LSTM, repeated, {"num_layers": 2}),
        (nn.LSTM, repeated, {"bidirectional": True}),
    ],
)
def test_constants_and_parameters(kind, start, options):
    torch.manual_seed(0)
    module, x = Started(kind, start, **options).double(), data()
    with torch.no_grad():
        wanted = module(x)
    network = from_torch(module, max_steps=TIME)
    np.testing.assert_allclose(evaluate(network, x), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_states_that_are_inputs(kind):
    """They are zero, or whoever runs the network gives them."""
    torch.manual_seed(0)
    module, x = (GivenTwo if kind is nn.LSTM else Given)(kind).double(), data()
    names = ("h", "c") if kind is nn.LSTM else ("h",)
    states = [torch.randn(1, BATCH, HIDDEN, dtype=torch.float64) for _ in names]
    network = from_torch(module)
    with torch.no_grad():
        wanted, zero = module(x, *states), module(x, *(0 * state for state in states))
    given = {"rnn.0": {name: state[0] for name, state in zip(names, states, strict=True)}}
    np.testing.assert_allclose(evaluate(network, x, states=given), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(evaluate(network, x), zero, rtol=0, atol=1e-12)


def test_a_pair_that_is_an_input():
    torch.manual_seed(0)
    module = Given(nn.LSTM).double()
    assert [layer.name for layer in from_torch(module).layers] == ["rnn.0"]


def refused(start, sentence, kind=nn.GRU):
    torch.manual_seed(0)
    with pytest.raises(UnsupportedError, match=sentence):
        from_torch(Started(kind, start))


def test_refusals():
    refused(lambda m, x: m.whole, "is given a constant initial state that differs from sequence")
    refused(
        lambda m, x: m.encoder(x)[1], r"Module rnn \(GRU\) is given an initial state that is com"
    )
    refused(lambda m, x: (m.h, m.c), "is given 2 initial states; supported is 1")
    refused(lambda m, x: m.h.expand(-1, x.size(0), 4, -1), "expands a constant of shape")
    refused(lambda m, x: m.h.repeat(2, 1, 1), "expands a constant of shape")


def test_more_inputs_are_refused():
    class Many(nn.Module):
        def forward(self, x, h, c, mask):
            return x

    with pytest.raises(UnsupportedError, match="supported is one tensor, a memory that it"):
        from_torch(Many())
