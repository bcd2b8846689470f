from dataclasses import replace

import numpy as np
import pytest
import torch

from deltaloom.compiler.cell import Cell, trace
from deltaloom.compiler.cells import GRU, LSTM, SRU, Linear, PeepholeLSTM, ProjectedLSTM
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import evaluate, run
from deltaloom.compiler.network import Layer, Network
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.states import as_states, load_states, quantize_states


class Doubler(Cell):
    """h' = h + h + x: what it leaves is known by hand."""

    states = ("h",)

    def step(self, x, h):
        return h + h + self.affine("a", x)


def doubler():
    parameters = {"a.x": np.eye(2), "a": np.zeros(2)}
    return Network((Layer("d", "Doubler", trace(Doubler(2, 2)), parameters),))


def start(size, batch, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, size)) * 0.4


def test_a_state_by_hand():
    x = [np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[3.0, -1.0]])]
    found = run(doubler(), x, states={"d": {"h": np.array([[1.0, -2.0], [0.5, 0.0]])}})
    np.testing.assert_array_equal(found.outputs[0], [[3, -4], [6, -6]])
    np.testing.assert_array_equal(found.outputs[1], [[4, -1]])
    np.testing.assert_array_equal(found.states["d"]["h"], [[6, -6], [4, -1]])


def test_a_layer_may_start_from_its_own_state():
    network = doubler()
    layer = replace(network.layers[0], initial={"h": np.array([1.0, -2.0])})
    x = np.array([[[1.0, 0.0]]])
    np.testing.assert_array_equal(evaluate(Network((layer,)), x), [[[3, -4]]])
    given = evaluate(Network((layer,)), x, states={"d": {"h": np.zeros((1, 2))}})
    np.testing.assert_array_equal(given, [[[1, 0]]])
    with pytest.raises(DeltaloomError, match="Initial state d.h must be a vector of a state's"):
        replace(layer, initial={"h": np.zeros(3)}).check()
    with pytest.raises(DeltaloomError, match="Initial state d.h must be finite"):
        replace(layer, initial={"h": np.array([np.nan, 0])}).check()


@pytest.mark.parametrize(
    ("module", "names"),
    [(torch.nn.LSTM, ("h", "c")), (torch.nn.GRU, ("h",)), (torch.nn.RNN, ("h",))],
    ids=["lstm", "gru", "rnn"],
)
def test_equal_to_torch(module, names):
    from deltaloom.compiler.frontends.torch_frontend import from_torch

    torch.manual_seed(0)
    layer = module(3, 5, batch_first=True).double()
    name = f"{module.__name__.lower()}.0"
    x = np.random.default_rng(1).normal(size=(4, 7, 3))
    states = {name: {state: start(5, 4, seed) for seed, state in enumerate(names)}}
    hx = tuple(torch.tensor(values[None]) for values in states[name].values())
    with torch.no_grad():
        wanted, left = layer(torch.tensor(x), hx if len(hx) > 1 else hx[0])
    found = run(from_torch(layer), x, states=states)
    np.testing.assert_allclose(found.outputs, wanted, rtol=0, atol=1e-12)
    for state, values in zip(names, left if len(names) > 1 else [left], strict=True):
        np.testing.assert_allclose(found.states[name][state], values[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", [PeepholeLSTM(3, 4), ProjectedLSTM(3, 5, 2), SRU(3, 4)])
def test_a_sequence_in_two_parts(make_layer, cell):
    network = Network((make_layer("l", cell), make_layer("y", Linear(cell_output(cell), 2))))
    x = [np.random.default_rng(n).normal(size=(steps, 3)) for n, steps in enumerate((6, 4, 5))]
    states = {"l": {name: start(size, 3) for name, size in zip_states(cell)}}
    whole = run(network, x, states=states)
    first = run(network, [each[:3] for each in x], states=states)
    second = run(network, [each[3:] for each in x], states=first.states)
    for a, b, wanted in zip(first.outputs, second.outputs, whole.outputs, strict=True):
        np.testing.assert_allclose(np.concatenate([a, b]), wanted, rtol=0, atol=1e-12)


def cell_output(cell):
    return cell.state_sizes[0]


def zip_states(cell):
    return list(zip(cell.states, cell.state_sizes, strict=True))


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([1], "States must be a mapping, not list"),
        ({"m": {}}, "States must not name 'm': layers with states are l"),
        ({"l": 3}, "States of layer l must be a mapping, not int"),
        ({"l": {"c": 0}}, "States of layer l must not name 'c': its states are h"),
        ({"l": {"h": np.zeros(3)}}, r"State l.h must have shape \(batch, size\) \(2, 3\), not"),
        ({"l": {"h": np.zeros((1, 3))}}, r"State l.h must have shape .* not \(1, 3\)"),
        ({"l": {"h": np.full((2, 3), np.inf)}}, "State l.h must be finite"),
        ({"l": {"h": np.zeros((2, 3), complex)}}, "State l.h must be real numbers, not complex"),
    ],
)
def test_refusals(make_layer, states, sentence):
    network = Network((make_layer("l", GRU(2, 3)), make_layer("y", Linear(3, 1))))
    with pytest.raises(DeltaloomError, match=sentence):
        as_states(states, network.computing, 2)
    with pytest.raises(DeltaloomError, match=sentence):
        evaluate(network, np.zeros((2, 4, 2)), states=states)


def test_tensors_are_states(make_layer):
    found = as_states({"l": {"h": torch.ones(2, 3)}}, [make_layer("l", GRU(2, 3))], 2)
    np.testing.assert_array_equal(found["l"]["h"], np.ones((2, 3)))


def integer_lstm(make_layer, **options):
    network = Network((make_layer("l", LSTM(3, 4), scale=1.0),))
    x = np.random.default_rng(2).normal(size=(5, 8, 3))
    return quantize(network, x, Recipe(), **options)


def test_calibration_covers_what_sequences_start_from(make_layer):
    states = {"l": {"h": np.full((5, 4), -3.0), "c": np.full((5, 4), 20.0)}}
    network = integer_lstm(make_layer, states=states)
    found, cut = quantize_states(network, states, 5)
    assert cut == {"l": {"h": 0, "c": 0}}
    formats = {state.name: state.format for state in network.layers[0].graph.nodes[1:3]}
    np.testing.assert_array_equal(formats["c"].dequantize(found.values["l"]["c"]), 20.0)


def test_what_saturates_is_counted(make_layer):
    network = integer_lstm(make_layer)
    states = np.zeros((2, 4))
    states[0, 1], states[1, :2] = 1e3, -1e9
    found, cut = quantize_states(network, {"l": {"c": states}}, 2)
    assert cut == {"l": {"c": 3}}
    format = network.layers[0].graph.nodes[2].format
    assert found.values["l"]["c"].tolist()[1] == [format.min, format.min, 0, 0]
    np.testing.assert_array_equal(found.values["l"]["h"], 0)


def test_integers_must_be_of_the_format(make_layer):
    network = integer_lstm(make_layer)
    assert load_states(network, None, 2) is None
    assert load_states(network, {"l": {}}, 2).values["l"].keys() == {"h", "c"}
    for wrong in (np.full((2, 4), 1 << 20), np.zeros((2, 4))):
        with pytest.raises(DeltaloomError, match="State l.c must be integers within s16"):
            load_states(network, {"l": {"c": wrong}}, 2)
