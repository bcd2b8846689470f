import pytest

from deltaloom.compiler.cell import Cell, sigmoid, tanh, trace
from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ReluRNN
from deltaloom.compiler.graph import Activation, Affine, Binary
from deltaloom.compiler.network import parameter_shapes


def text(graph, position=None):
    """A graph's output, or the value at a position, as an equation."""
    node = graph.nodes[graph.output if position is None else position]
    match node:
        case Affine(name=name):
            return f"{name}({', '.join(graph.nodes[p].name for p in node.operands)})"
        case Activation(function=function):
            return f"{function}({text(graph, node.operand)})"
        case Binary():
            sign = {"Add": "+", "Sub": "-", "Mul": "*"}[type(node).__name__]
            return f"({text(graph, node.a)} {sign} {text(graph, node.b)})"
        case _:
            return node.name


C = "((sigmoid(f(x, h)) * c) + (sigmoid(i(x, h)) * tanh(g(x, h))))"
CANDIDATE = "tanh((n_x(x) + (sigmoid(r(x, h)) * n_h(h))))"


@pytest.mark.parametrize(
    ("cell", "equation"),
    [
        (RNN(2, 3), "tanh(n(x, h))"),
        (ReluRNN(2, 3), "relu(n(x, h))"),
        (LSTM(2, 3), f"(sigmoid(o(x, h)) * tanh({C}))"),
        (GRU(2, 3), f"({CANDIDATE} + (sigmoid(z(x, h)) * (h - {CANDIDATE})))"),
        (Linear(2, 3), "y(x)"),
        (Linear(2, 3, "relu"), "relu(y(x))"),
    ],
)
def test_equations(cell, equation):
    graph = trace(cell)
    graph.check()
    assert text(graph) == equation


def test_lstm_keeps_what_it_computes():
    graph = trace(LSTM(2, 3))
    assert [text(graph, p) for p in graph.next_states] == [text(graph), C]


def test_parameters():
    shapes = parameter_shapes(trace(GRU(2, 3)))
    assert shapes == {
        "r.x": (3, 2), "r.h": (3, 3), "r": (3,),
        "z.x": (3, 2), "z.h": (3, 3), "z": (3,),
        "n_x.x": (3, 2), "n_x": (3,), "n_h.h": (3, 3), "n_h": (3,),
    }  # fmt: skip


def test_traced_twice_is_the_same():
    assert trace(LSTM(4, 5)) == trace(LSTM(4, 5))


class Broken(Cell):
    """What a cell must not do, by ``how``."""

    states = ("h", "c")

    def __init__(self, how):
        super().__init__(2, 3)
        self.how = how

    def step(self, x, h, c):
        match self.how:
            case "number":
                return h + 1, c
            case "sizes":
                return h + x, c
            case "states":
                return sigmoid(self.affine("n", x, h))
            case _:
                return tanh(h), tanh(c)


@pytest.mark.parametrize(
    ("how", "error", "sentence"),
    [
        ("number", TypeError, "^Operand must be a traced value, not 1$"),
        ("sizes", ValueError, "^Operands must have equal sizes, not 3 and 2$"),
        ("states", ValueError, r"^Broken\.step must return 2 states$"),
    ],
)
def test_refuses_equations(how, error, sentence):
    trace(Broken("sound"))
    with pytest.raises(error, match=sentence):
        trace(Broken(how))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RNN(0, 3), "^Input size must be a positive integer, not 0$"),
        (lambda: RNN(2, -1), "^Hidden size must be a positive integer, not -1$"),
        (lambda: LSTM(2.0, 3), r"^Input size must be a positive integer, not 2\.0$"),
        (lambda: Linear(2, 3, "sine"), "^Function must be one of abs, relu, .*, not 'sine'$"),
    ],
)
def test_refuses_sizes(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
