"""Each cell against its origin's equations, written out; torch's own cells are in the front end."""

import numpy as np
import pytest

from deltaloom.compiler.cells import CoupledLSTM, LiGRU, PeepholeLSTM
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.network import Network


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ligru(p, x, h):
    z = sigmoid(p["z.x"] @ x + p["z.h"] @ h + p["z"])
    n = np.maximum(p["n.x"] @ x + p["n.h"] @ h + p["n"], 0)
    return (z * h + (1 - z) * n,)


def coupled(p, x, h, c):
    f = sigmoid(p["f.x"] @ x + p["f.h"] @ h + p["f"])
    o = sigmoid(p["o.x"] @ x + p["o.h"] @ h + p["o"])
    c = f * c + (1 - f) * np.tanh(p["g.x"] @ x + p["g.h"] @ h + p["g"])
    return o * np.tanh(c), c


def peephole(p, x, h, c):
    i = sigmoid(p["i.x"] @ x + p["i.h"] @ h + p["i"] + p["p_i"] * c)
    f = sigmoid(p["f.x"] @ x + p["f.h"] @ h + p["f"] + p["p_f"] * c)
    c = f * c + i * np.tanh(p["g.x"] @ x + p["g.h"] @ h + p["g"])
    o = sigmoid(p["o.x"] @ x + p["o.h"] @ h + p["o"] + p["p_o"] * c)
    return o * np.tanh(c), c


@pytest.mark.parametrize(
    ("cell", "step"), [(LiGRU, ligru), (CoupledLSTM, coupled), (PeepholeLSTM, peephole)]
)
@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (3, 7)])
def test_equations(cell, step, inputs, units, make_layer):
    rng = np.random.default_rng(0)
    layer = make_layer("rnn", cell(inputs, units))
    x = rng.normal(size=(2, 9, inputs))
    got = evaluate(Network((layer,)), x)
    for sequence, outputs in zip(x, got, strict=True):
        states = (np.zeros(units),) * len(cell.states)
        for value, output in zip(sequence, outputs, strict=True):
            states = step(layer.parameters, value, *states)
            np.testing.assert_allclose(output, states[0], rtol=0, atol=1e-12)
