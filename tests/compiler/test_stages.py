import re

import numpy as np
import pytest

from deltaloom.compiler.cell import Cell, relu, sigmoid, tanh
from deltaloom.compiler.cells import GRU, LSTM, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import golden


def names(layer, positions):
    return [layer.graph.nodes[position].name for position in positions]


@pytest.mark.parametrize("cell", [LSTM(3, 5), GRU(3, 5), Linear(3, 5, "tanh")])
def test_products_of_what_is_known_are_one_stage(integer_network, cell):
    (layer,) = integer_network(cell).layers
    (stage,) = layer.stages
    assert (stage.size, stage.channels, stage.walks_input) == (5, 5, True)
    assert stage.operands == tuple(range(len(layer.operands)))
    assert stage.crossings == stage.exports == ()


def test_reset_before(integer_network):
    """z crosses to the second stage; h is read in both, and kept where it is written."""
    (layer,) = integer_network(ResetBeforeGRU(3, 5)).layers
    first, second = layer.stages
    assert [operand.name for operand in layer.operands] == ["x", "h", "rh"]
    assert (first.operands, second.operands) == ((0, 1), (0, 2))
    assert (first.awaited, second.awaited) == (1, 2)
    assert names(layer, first.affines) == ["r", "z"]
    assert names(layer, second.affines) == ["n"]
    assert (first.states, names(layer, second.states)) == ((), ["h"])
    (h,) = first.crossings
    assert (names(layer, [h.node]), h.writer, h.reader, h.held) == (["h"], 1, 0, True)
    (z,) = second.crossings
    assert (names(layer, [z.node]), z.writer, z.reader, z.held) == (["sigmoid1"], 0, 1, False)
    assert (first.exports, second.exports) == ((z,), (h,))


def test_projection(integer_network):
    """The second stage has a size of its own, and does not walk the input."""
    (layer,) = integer_network(ProjectedLSTM(3, 5, 2)).layers
    first, second = layer.stages
    assert [operand.name for operand in layer.operands] == ["x", "h", "m"]
    assert (first.size, second.size) == (5, 2)
    assert (second.operands, second.walks_input, second.columns) == ((2,), False, 5)
    assert names(layer, first.states) == ["c"]
    assert first.crossings == second.crossings == ()


class Late(Cell):
    """Reads a state in a stage behind the one that writes it."""

    states = ("h", "c")

    def step(self, x, h, c):
        f = sigmoid(self.affine("f", x, h))
        following = f * c + f
        n = self.affine("n", x, (f * f).named("ff"))
        return tanh(n + c), following


def test_a_state_that_is_read_late_crosses_as_it_was(integer_network, prove):
    network = integer_network(Late(3, 5), recipe=Recipe(skip="delta", theta=2))
    (layer,) = network.layers
    (crossing,) = layer.stages[1].crossings
    assert (names(layer, [crossing.node]), crossing.held) == (["c"], False)
    prove(network, {"l.0": 3}, stalls=(0.0, 0.5))


class Three(Cell):
    states = ("h",)

    def step(self, x, h):
        a = relu(self.affine("a", x, h)).named("a1")
        b = tanh(self.affine("b", a)).named("b1")
        z = sigmoid(self.affine("z", x, b))
        return h + z * (a - h)


@pytest.mark.parametrize("skip", ["zero", "delta"])
@pytest.mark.parametrize("lanes", [1, 4, 9])
def test_three_stages(integer_network, prove, skip, lanes):
    network = integer_network(Three(3, 5), recipe=Recipe(skip=skip))
    assert len(network.layers[0].stages) == 3
    prove(network, {"l.0": lanes}, stalls=(0.0, 0.6))


class Two(Cell):
    states = ("h",)

    def step(self, x, h):
        a, b = self.affine("a", x, h), self.affine("b", x, h)
        return self.affine("n", tanh(a).named("a1"), tanh(b).named("b1"))


class Skips(Cell):
    states = ("h",)

    def step(self, x, h):
        a = tanh(self.affine("a", x, h)).named("a1")
        return self.affine("n", a, h)


class Early(Cell):
    states = ("out", "h")

    def step(self, x, out, h):
        following = tanh(self.affine("a", x, h))
        return tanh(self.affine("n", x, (following * following).named("aa"))), following


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (Two, "Layer l.0 must multiply one vector that it computes, and nothing but the input "
              "beside it"),
        (Skips, "Layer l.0 must multiply one vector that it computes, and nothing but the input "
                "beside it"),
        (Early, "Layer l.0 must multiply a state that the last of its 2 stages gives"),
    ],
)  # fmt: skip
def test_refuses(integer_network, cell, sentence):
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence)}$"):
        integer_network(cell(3, 5))


def test_golden_follows_the_equations(integer_network):
    """Reset-before GRU against its equations in float, at 16 bits."""
    rng = np.random.default_rng(0)
    network = integer_network(ResetBeforeGRU(3, 5), recipe=Recipe("int16", "int16"))
    (layer,) = network.layers
    x = network.input_format.quantize(rng.normal(size=(30, 3)))
    (got,) = golden.run(network, [x]).outputs
    weights = {}
    for affine in (node for node in layer.graph.nodes if hasattr(node, "paths")):
        for path in affine.paths:
            weights[affine.key(path)] = layer.weights[affine.key(path)] * path.format.scale
        weights[affine.name] = layer.biases[affine.name] * affine.format.scale
    h, want = np.zeros(5), []
    s = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for value in x * network.input_format.scale:
        r = s(weights["r.x"] @ value + weights["r.h"] @ h + weights["r"])
        z = s(weights["z.x"] @ value + weights["z.h"] @ h + weights["z"])
        n = np.tanh(weights["n.x"] @ value + weights["n.rh"] @ (r * h) + weights["n"])
        h = (1 - z) * n + z * h
        want.append(h)
    np.testing.assert_allclose(got * network.output_format.scale, want, atol=2e-3)
