import numpy as np
import pytest

from deltaloom.compiler.cell import Cell, sigmoid, tanh
from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ReluRNN
from deltaloom.compiler.checks.network_checks import check_network
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.exact import Interval, combine, rectify, rescale
from deltaloom.compiler.fixed import Format, requantize, width_for
from deltaloom.compiler.graph import Activation, Add, Affine, Mul, Rescale, State, Sub
from deltaloom.compiler.legalise import prune
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe


def data(features, seed=0, size=(20, 15)):
    return np.random.default_rng(seed).normal(size=(*size, features))


def legal(network, recipe=None):
    features = network.layers[0].input_size
    return quantize(network, data(features), recipe or Recipe())


def by_name(graph):
    return {node.name: node for node in graph.nodes}


def chain(graph, position):
    """Names of operations from a node back to the first affine, state or input."""
    names = []
    while True:
        node = graph.nodes[position]
        names.append(type(node).__name__)
        if not isinstance(node, Rescale | Activation):
            return names
        position = node.operand


@pytest.mark.parametrize("cell", [GRU, LSTM, RNN, ReluRNN])
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (7, 13)])
def test_every_node_is_legal(make_network, cell, inputs, hidden):
    network = legal(make_network(cell(inputs, hidden), cell(hidden, 3), Linear(3, 2)))
    check_network(network)
    for layer in network.computing:
        layer.graph.check()
        for position, affine in layer.graph.of(Affine):
            (reader,) = layer.graph.readers(position)
            assert isinstance(layer.graph.nodes[reader], Rescale)
            bias = np.abs(layer.biases[affine.name]).astype(object)
            bound = int((layer.row_bounds(affine) + bias).max())
            assert affine.format.width == width_for(-bound, bound)
        for _, product in layer.graph.of(Mul):
            for operand in product.operands:
                assert layer.graph.nodes[operand].format.width <= 18


def test_lstm_keeps_h_as_its_products_take_it_and_c_wide(make_network):
    layer = legal(make_network(LSTM(3, 5), scale=2)).computing[0]
    nodes = by_name(layer.graph)
    assert nodes["h"].format == Format(8, 7)
    assert nodes["c"].format.width == 16
    assert {operand.name: operand.node for operand in layer.operands} == {"x": 0, "h": 1}
    for gate, table in (("i", (16, 11)), ("f", (16, 11)), ("g", (16, 12)), ("o", (16, 11))):
        position = layer.graph.nodes.index(nodes[gate])
        (reader,) = layer.graph.readers(position)
        assert layer.graph.nodes[reader].format == Format(*table)
    h, c = layer.graph.next_states
    assert chain(layer.graph, h) == ["Rescale", "Mul"]
    assert chain(layer.graph, c) == ["Rescale", "Add"]
    assert layer.output_format.width == 16
    assert layer.graph.nodes[layer.graph.output].operand == layer.graph.nodes[h].operand


def test_lstm_shares_the_rounding_of_h_with_the_next_layer(make_network):
    first, second = legal(make_network(LSTM(3, 5), LSTM(5, 5))).computing
    assert first.graph.output == first.graph.next_states[0]
    assert second.input_format == first.output_format
    assert second.operands[0].node == second.graph.input[0]


def test_gru_keeps_h_wide_and_rounds_it_once_for_its_products(make_network):
    layer = legal(make_network(GRU(3, 5), scale=2)).computing[0]
    nodes = by_name(layer.graph)
    assert nodes["h"].format == Format(16, 15)
    h = layer.operands[1]
    assert (h.name, h.format.width) == ("h", 8)
    assert chain(layer.graph, h.node) == ["Rescale", "State"]
    assert len([n for n in layer.graph.nodes if isinstance(n, Rescale) and n.operand == 1]) == 1
    (difference,) = (node for _, node in layer.graph.of(Sub))
    assert difference.format == Format(17, 15)
    for gate in ("n_x", "n_h"):
        position = layer.graph.nodes.index(nodes[gate])
        (reader,) = layer.graph.readers(position)
        assert layer.graph.nodes[reader].format.width == 16
    (following,) = layer.graph.next_states
    assert chain(layer.graph, following) == ["Rescale", "Add"]
    assert following == layer.graph.output


def test_relu_is_exact(make_network):
    layer = legal(make_network(ReluRNN(3, 5))).computing[0]
    (found,) = layer.graph.of(Activation)
    assert found[1].format == layer.graph.nodes[found[1].operand].format
    assert found[1].format.width == 16
    assert not layer.tables


def test_linear_output_is_rounded_once(make_network):
    first, second = legal(make_network(Linear(3, 5), Linear(5, 2))).computing
    assert chain(first.graph, first.graph.output) == ["Rescale", "Affine"]
    assert first.output_format.width == 8
    assert chain(second.graph, second.graph.output) == ["Rescale", "Affine"]
    assert second.output_format.width == 16


@pytest.mark.parametrize("width", range(4, 17))
def test_elementwise_width(make_network, width):
    layer = legal(make_network(LSTM(3, 5)), Recipe(elementwise=width)).computing[0]
    for _, node in layer.graph.of(Activation):
        source = layer.graph.nodes[node.operand].format
        assert source == Format(width, width - (5 if node.function == "sigmoid" else 4))
        assert node.format == Format(width, width - 1)
    assert by_name(layer.graph)["c"].format.width == width
    assert layer.output_format.width == width


class Wide(Cell):
    """A product of a product of a product, and a gate that two functions read."""

    states = ("h",)

    def step(self, x, h):
        a = self.affine("a", x, h)
        b = sigmoid(a) * tanh(a)
        return b * b * a


class Deep(Cell):
    """A second matrix-vector product in the same timestep."""

    states = ("h",)

    def step(self, x, h):
        return tanh(self.affine("u", self.affine("v", x) * h))


class Wasteful(Cell):
    states = ("h",)

    def step(self, x, h):
        self.affine("unused", x)
        return tanh(self.affine("n", x, h))


def test_wide_products_are_rounded_before_they_are_multiplied(make_network):
    layer = legal(make_network(Wide(3, 5))).computing[0]
    for _, product in layer.graph.of(Mul):
        assert all(layer.graph.nodes[o].format.width <= 18 for o in product.operands)
    position = next(position for position, _ in layer.graph.of(Affine))
    (reader,) = layer.graph.readers(position)
    assert layer.graph.nodes[reader].format.width == 16
    assert len(layer.graph.readers(reader)) == 3


def test_products_of_products_have_to_feed_back(make_network):
    with pytest.raises(
        DeltaloomError,
        match=r"^Layer rnn.0 must multiply a state that the last of its 2 stages gives$",
    ):
        legal(make_network(Deep(3, 3)))


def test_what_nothing_reads_is_dropped(make_network):
    network = make_network(Wasteful(3, 5))
    assert "unused" not in by_name(prune(network.layers[0].graph))
    layer = legal(network).computing[0]
    assert set(layer.weights) == {"n.x", "n.h"}
    assert set(layer.biases) == {"n"}


@pytest.mark.parametrize(
    ("kind", "low", "high", "frac"),
    [(Add, -10 - 40, 5 + 32, 4), (Sub, -10 - 32, 5 + 40, 4), (Mul, -10 * 8, 10 * 10, 6)],
)
def test_exact_results_of_two_intervals(kind, low, high, frac):
    node = kind(name="y", size=1, a=0, b=1)
    a, b = Interval(-10, 5, 4), Interval(-10, 8, 2)
    assert combine(node, a, b) == Interval(low, high, frac)


def test_intervals_of_rescale_are_those_of_requantize():
    for source in (Format(9, 5), Format(9, -3), Format(9, 2)):
        for target in (Format(6, 2), Format(4, 4), Format(12, 6)):
            codes = np.arange(-200, 150)
            got = requantize(codes, source, target)
            assert rescale(Interval(-200, 149, source.frac), target) == Interval(
                got.min(), got.max(), target.frac
            )


def test_interval_of_relu():
    assert rectify(Interval(-5, 3, 1)) == Interval(0, 3, 1)
    assert rectify(Interval(-5, -3, 1)) == Interval(0, 0, 1)


def test_states_keep_their_formats(make_network):
    for cell in (GRU, LSTM, Wide):
        graph = legal(make_network(cell(2, 3))).computing[0].graph
        for (_, state), following in zip(graph.of(State), graph.next_states, strict=True):
            assert state.format == graph.nodes[following].format


def test_refuses_scales_that_no_shift_bridges(make_network):
    with pytest.raises(DeltaloomError) as error:
        legal(make_network(Linear(3, 2, "sigmoid"), scale=1e-15))
    assert str(error.value) == (
        "Values of rnn.0.y must need a shift of at most 31 bits to the left and 47 to the right "
        "from s16.61 to s16.11, not 50 to the right: bring weights and inputs to similar scales"
    )
