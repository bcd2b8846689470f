import numpy as np
import pytest
import torch

from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ReluRNN
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import Layout, evaluate
from deltaloom.compiler.graph import Activation, Mul, State
from deltaloom.compiler.network import LastStep, Layer, Network, parameter_shapes

TOLERANCE = 1e-12  # float64: 100 steps of sums of 20 products, each within 2**-53, and room


def layer(name, cell, seed=0):
    graph = trace(cell)
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(graph)
    parameters = {key: rng.normal(0, 0.4, shape) for key, shape in shapes.items()}
    return Layer(name, type(cell).__name__, graph, parameters)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_by_hand(p, x):
    """The equations of torch.nn.GRU on one sequence, (time, features)."""
    h = np.zeros(len(p["r"]))
    outputs = []
    for v in x:
        r = sigmoid(p["r.x"] @ v + p["r.h"] @ h + p["r"])
        z = sigmoid(p["z.x"] @ v + p["z.h"] @ h + p["z"])
        n = np.tanh(p["n_x.x"] @ v + p["n_x"] + r * (p["n_h.h"] @ h + p["n_h"]))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.array(outputs)


def lstm_by_hand(p, x):
    h = c = np.zeros(len(p["i"]))
    outputs = []
    for v in x:
        i, f, g, o = (p[f"{k}.x"] @ v + p[f"{k}.h"] @ h + p[k] for k in "ifgo")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def rnn_by_hand(function):
    def run(p, x):
        h = np.zeros(len(p["n"]))
        outputs = []
        for v in x:
            h = function(p["n.x"] @ v + p["n.h"] @ h + p["n"])
            outputs.append(h)
        return np.array(outputs)

    return run


CELLS = {
    GRU: gru_by_hand,
    LSTM: lstm_by_hand,
    RNN: rnn_by_hand(np.tanh),
    ReluRNN: rnn_by_hand(lambda x: np.maximum(x, 0)),
}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (7, 5), (3, 13)])
@pytest.mark.parametrize(("batch", "time"), [(1, 101), (4, 1), (3, 17)])
def test_equations(cell, inputs, hidden, batch, time):
    one = layer("one", cell(inputs, hidden))
    one.parameters.update({k: v / 2 for k, v in one.parameters.items() if k.endswith(".h")})
    x = np.random.default_rng(1).normal(size=(batch, time, inputs))
    expected = [CELLS[cell](one.parameters, sequence) for sequence in x]
    found = evaluate(Network((one,)), x)
    assert found.shape == (batch, time, hidden)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "tanh"])
def test_linear(activation):
    one = layer("one", Linear(3, 2, activation))
    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    functions = {None: np.asarray, "relu": lambda v: v.clip(0), "sigmoid": sigmoid, "tanh": np.tanh}
    expected = functions[activation](x @ one.parameters["y.x"].T + one.parameters["y"])
    np.testing.assert_allclose(evaluate(Network((one,)), x), expected, atol=TOLERANCE)


def mixed_network(*, last_step):
    layers = [layer("a", LSTM(3, 5), 1), layer("b", GRU(5, 4), 2), layer("d", Linear(4, 2), 3)]
    if last_step:
        layers.insert(2, LastStep("last_step"))
    return Network(tuple(layers))


@pytest.mark.parametrize("last_step", [False, True], ids=["whole", "last"])
def test_lengths(last_step):
    network = mixed_network(last_step=last_step)
    rng = np.random.default_rng(2)
    x = [rng.normal(size=(time, 3)) for time in (7, 1, 101, 7, 12)]
    found = evaluate(network, x)
    alone = [evaluate(network, sequence[np.newaxis])[0] for sequence in x]
    assert isinstance(found, np.ndarray if last_step else list)
    assert len(found) == len(x)
    for one, other in zip(found, alone, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_last_step_is_the_end_of_the_whole():
    x = np.random.default_rng(3).normal(size=(4, 9, 3))
    whole = evaluate(mixed_network(last_step=False), x)
    last = evaluate(mixed_network(last_step=True), x)
    assert last.shape == (4, 2)
    np.testing.assert_allclose(last, whole[:, -1], atol=TOLERANCE)


def test_layout():
    layout = Layout.of([2, 4, 1, 2])
    time = np.array([0, 1, 0, 1, 2, 3, 0, 0, 1])[layout.source]
    sequence = np.array([0, 0, 1, 1, 1, 1, 2, 3, 3])[layout.source]
    np.testing.assert_array_equal(time, [0, 0, 0, 0, 1, 1, 1, 2, 3])
    np.testing.assert_array_equal(sequence, [1, 0, 3, 2, 1, 0, 3, 1, 1])
    np.testing.assert_array_equal(layout.alive, [4, 3, 1, 1])
    np.testing.assert_array_equal(layout.in_order(layout.source), np.arange(9))
    equal = Layout.of([3] * 1000)
    np.testing.assert_array_equal(equal.source.reshape(3, 1000).T.ravel(), np.arange(3000))


@pytest.mark.parametrize("lengths", [(6, 6), (3, 9, 1)])
def test_observes_every_node_without_padding(lengths):
    network = mixed_network(last_step=True)
    rng = np.random.default_rng(4)
    x = [rng.normal(size=(time, 3)) for time in lengths]
    seen = {}

    def observe(which, node, values):
        assert (which.name, node.name) not in seen
        seen[which.name, node.name] = values

    found = evaluate(network, x, observe)
    np.testing.assert_array_equal(seen["d", "y"], found)  # after the selection: in order
    for which in (network.layers[0], network.layers[1], network.layers[3]):
        rows = len(lengths) if which.name == "d" else sum(lengths)
        for node in which.graph.nodes:
            values = seen.pop((which.name, node.name))
            assert values.shape == (rows, node.size)
    assert not seen


def test_observed_values_fit_together():
    network = Network((layer("a", LSTM(3, 5)),))
    rng = np.random.default_rng(5)
    x = [rng.normal(size=(time, 3)) for time in (4, 6, 4, 1)]
    seen = {}
    outputs = evaluate(network, x, lambda _, node, values: seen.update({node.name: values}))
    layout = Layout.of([len(sequence) for sequence in x])
    graph = network.layers[0].graph

    np.testing.assert_array_equal(layout.in_order(seen["x"]), np.concatenate(x))
    at = layout.in_order
    for (_, state), following in zip(graph.of(State), graph.next_states, strict=True):
        before, after = at(seen[state.name]), at(seen[graph.nodes[following].name])
        ends = layout.ends
        starts = np.r_[0, ends[:-1]]
        np.testing.assert_array_equal(before[starts], 0)
        inner = np.setdiff1d(np.arange(len(before)), starts)
        np.testing.assert_array_equal(before[inner], after[inner - 1])
    for _, node in graph.of(Mul):
        a, b = (seen[graph.nodes[operand].name] for operand in node.operands)
        np.testing.assert_array_equal(seen[node.name], a * b)
    for _, node in graph.of(Activation):
        operand = seen[graph.nodes[node.operand].name]
        function = {"tanh": np.tanh, "sigmoid": sigmoid}[node.function]
        np.testing.assert_allclose(seen[node.name], function(operand), atol=TOLERANCE)
    output = seen[graph.nodes[graph.output].name]
    np.testing.assert_array_equal(at(output), np.concatenate(outputs))


def test_observing_changes_nothing():
    network = mixed_network(last_step=False)
    x = np.random.default_rng(6).normal(size=(2, 20, 3))
    np.testing.assert_array_equal(evaluate(network, x), evaluate(network, x, lambda *_: None))


def test_takes_torch_tensors():
    network = mixed_network(last_step=False)
    x = torch.randn(2, 4, 3, requires_grad=True, generator=torch.Generator().manual_seed(0))
    expected = evaluate(network, x.detach().numpy())
    np.testing.assert_array_equal(evaluate(network, x), expected)
    np.testing.assert_array_equal(evaluate(network, list(x)), expected)
    assert np.isfinite(evaluate(network, x.bfloat16())).all()


def test_large_pre_activations():
    one = layer("one", LSTM(1, 1))
    one.parameters.update({"i": np.array([-1e6]), "f": np.array([1e6])})
    assert np.isfinite(evaluate(Network((one,)), np.ones((1, 3, 1)))).all()


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((4, 3)), r"Input must have shape \(batch, time, 3\), but it has \(4, 3\)"),
        (np.zeros((1, 4, 2)), r"Input must have shape \(batch, time, 3\), but it has \(1, 4, 2\)"),
        (
            [np.zeros((4, 3)), np.zeros((4, 2))],
            r"Input must have shape \(time, 3\), but sequence 1 has \(4, 2\)",
        ),
        (np.zeros((0, 4, 3)), r"Input must not be empty, but it has shape \(0, 4, 3\)"),
        (np.zeros((2, 0, 3)), r"Input must not be empty, but it has shape \(2, 0, 3\)"),
        ([np.zeros((0, 3))], r"Input must not be empty, but sequence 0 has shape \(0, 3\)"),
        ([], "Input must have at least one sequence"),
        (np.full((1, 2, 3), np.nan), "Input must be finite, but it holds NaN or infinity"),
        ([np.full((2, 3), np.inf)], "Input must be finite, but sequence 0 holds NaN or infinity"),
        (np.zeros((1, 2, 3), complex), "Input must be real numbers, but it holds complex128"),
        (np.zeros((1, 2, 3), object), "Input must be real numbers, but it holds object"),
    ],
)
def test_bad_input(x, sentence):
    with pytest.raises(DeltaloomError, match=f"^{sentence}$"):
        evaluate(mixed_network(last_step=False), x)
