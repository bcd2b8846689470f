import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.signal_noise import signal_to_noise
from deltaloom.sim import edges as edges_module
from deltaloom.sim import golden
from deltaloom.sim.edges import measure_edges
from deltaloom.sim.reference import reference_network

LENGTHS = (7, 1, 12, 7, 3)


@pytest.fixture
def sequences():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 3)).cumsum(axis=0) * 0.4 for n in LENGTHS]


def measured(model, sequences, recipe):
    network = quantize(model, sequences, recipe)
    found = measure_edges(network, reference_network(network, model), {"input": sequences})
    return network, {(edge.layer, edge.node): edge for edge in found}


@pytest.mark.parametrize("cells", [(LSTM(3, 5),), (GRU(3, 4), Linear(4, 2, "tanh"))])
def test_output_edge_is_what_models_give(float_network, sequences, cells):
    """Of ragged sequences, timestep by timestep."""
    model = float_network(*cells)
    network, found = measured(model, sequences, Recipe("int4"))
    wanted = evaluate(model, sequences)
    integers = [network.input_format.quantize(x) for x in sequences]
    got = [network.output_format.dequantize(y) for y in golden.run(network, integers).outputs]
    (edge,) = (e for e in found.values() if e.leaves and e.layer == network.layers[-1].name)
    assert edge.ratio == pytest.approx(signal_to_noise(wanted, got), rel=1e-12)
    for time in range(max(LENGTHS)):
        off = [(w[time] - g[time]) for w, g in zip(wanted, got, strict=True) if len(w) > time]
        assert edge.errors[time] == pytest.approx(np.sqrt(np.mean(np.square(off))))
    assert edge.worst_timestep == edge.errors.argmax()
    assert edge.total == sum(LENGTHS) * network.output_size


def test_input_is_the_rounding_of_the_data(float_network, sequences):
    network, found = measured(float_network(LSTM(3, 5)), sequences, Recipe(activations="int4"))
    rounded = [network.input_format.dequantize(network.input_format.quantize(x)) for x in sequences]
    for edge in (found["input", ""], found["l.0", "x"]):
        assert edge.ratio == pytest.approx(signal_to_noise(sequences, rounded))
    assert (found["input", ""].kind, found["l.0", "x"].kind) == ("stream", "input")


def test_states_are_those_that_a_timestep_starts_from(float_network, sequences):
    _, found = measured(float_network(LSTM(3, 5)), sequences, Recipe())
    state = found["l.0", "c"]
    assert state.kind == "state"
    assert (state.signal[0], state.noise[0], state.count[0]) == (0, 0, 5 * len(LENGTHS))
    (following,) = (
        e
        for e in found.values()
        if e.kind == "state" and e.format == state.format and e.node.startswith("add0")
    )
    # what ends earlier does not go on
    assert state.signal[1:].sum() < following.signal.sum()


def test_saturated_values_are_those_of_the_golden_trace(float_network, sequences):
    recipe = Recipe(state_limits={"l.0.c": 0.05})
    network, found = measured(float_network(LSTM(3, 5)), sequences, recipe)
    integers = [network.input_format.quantize(x) for x in sequences]
    trace = golden.run(network, integers, trace=True).traces["l.0"]
    assert sum(trace.saturated.values()) > 50
    for node, count in trace.saturated.items():
        assert found["l.0", node].saturated == count


def test_batches_of_sequences_add_up(float_network, sequences, monkeypatch):
    model = float_network(GRU(3, 4), "last", Linear(4, 2))
    network, whole = measured(model, sequences, Recipe("int4"))
    monkeypatch.setattr(edges_module, "MAX_CELLS", 1000)
    said = []
    reference = reference_network(network, model)
    parts = measure_edges(network, reference, {"input": sequences}, said.append)
    assert len(said) > 2
    assert [(edge.layer, edge.node) for edge in parts] == list(whole)
    for edge in parts:
        other = whole[edge.layer, edge.node]
        np.testing.assert_allclose(edge.signal, other.signal, rtol=1e-12)
        np.testing.assert_allclose(edge.noise, other.noise, rtol=1e-9)
        np.testing.assert_array_equal(edge.count, other.count)
        assert edge.saturated == other.saturated


def test_streams_that_are_selected(float_network, sequences):
    """After the last timestep there is one vector a sequence."""
    model = float_network(GRU(3, 4), "last", Linear(4, 2))
    _, found = measured(model, sequences, Recipe())
    (last,) = (e for (layer, node), e in found.items() if not node and layer != "input")
    assert last.count[0] == 4 * len(LENGTHS)
    assert not last.count[1:].any()


def test_inputs_that_are_rounded_again(float_network, sequences):
    """A wide stream into narrow products has an edge of its own."""
    recipe = Recipe(paths={"l.1.x": {"activations": "int3"}})
    network, found = measured(float_network(GRU(3, 4), Linear(4, 2)), sequences, recipe)
    (operand,) = network.computing[1].operands
    edge = found["l.1", network.computing[1].graph.nodes[operand.node].name]
    assert edge.format.width == 3
    assert edge.ratio < 25
