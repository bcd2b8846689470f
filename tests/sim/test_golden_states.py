"""The golden model from given states: where it leaves off and where it starts."""

from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler import cells
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.states import LoadedStates, load_states
from deltaloom.sim import golden
from deltaloom.sim.sequences import random_sequences

CELLS = {
    "lstm": cells.LSTM(3, 5),
    "gru": cells.GRU(3, 5),
    "reset before": cells.ResetBeforeGRU(3, 5),
    "projected": cells.ProjectedLSTM(3, 7, 2),
    "peephole": cells.PeepholeLSTM(3, 5),
    "coupled": cells.CoupledLSTM(3, 5),
    "ligru": cells.LiGRU(3, 5),
    "sru": cells.SRU(3, 5),
    "layer norm": cells.LayerNormLSTM(3, 5),
}


def random_states(network, batch, seed=0):
    rng = np.random.default_rng(seed)
    return {
        layer.name: {
            node.name: rng.integers(node.format.min, node.format.max + 1, (batch, node.size))
            for node in layer.graph.nodes
            if type(node).__name__ == "State"
        }
        for layer in network.computing
        if layer.graph.next_states
    }


@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_in_two_parts(integer_network, name, skip):
    """Bit for bit, as deltas of at least one are exact."""
    network = integer_network(
        CELLS[name], cells.Linear(CELLS[name].state_sizes[0], 2), recipe=Recipe(skip=skip)
    )
    rng = np.random.default_rng(1)
    sequences = random_sequences(network, rng, (9, 5, 120))
    states = load_states(network, random_states(network, 3), 3)
    whole = golden.run(network, sequences, states)
    cut = (1, 4, 60)
    parts = list(zip(sequences, cut, strict=True))
    first = golden.run(network, [part[:at] for part, at in parts], states)
    between = load_states(network, first.states, 3)
    second = golden.run(network, [part[at:] for part, at in parts], between)
    for a, b, wanted in zip(first.outputs, second.outputs, whole.outputs, strict=True):
        np.testing.assert_array_equal(np.concatenate([a, b]), wanted)
    for layer, left in whole.states.items():
        for state, values in left.items():
            np.testing.assert_array_equal(second.states[layer][state], values)


def test_only_marked_sequences_start_from_states(integer_network):
    network = integer_network(cells.GRU(3, 5), recipe=Recipe(skip="delta"))
    sequences = random_sequences(network, np.random.default_rng(0), (4, 4))
    given = random_states(network, 2)
    mixed = golden.run(network, sequences, LoadedStates(given, np.array([False, True])), trace=True)
    plain = golden.run(network, sequences, trace=True)
    loaded = golden.run(network, sequences, load_states(network, given, 2), trace=True)
    np.testing.assert_array_equal(mixed.outputs[0], plain.outputs[0])
    np.testing.assert_array_equal(mixed.outputs[1], loaded.outputs[1])
    fired = mixed.traces["l.0"].fired["h"][:, 0]
    assert not fired[0].any()
    operand = network.layers[0].operands[1]
    rounded = golden.run(network, sequences, load_states(network, given, 2), trace=True)
    np.testing.assert_array_equal(fired[1], rounded.traces["l.0"].fired["h"][1, 0])
    assert operand.name == "h"


def test_a_given_state_counts_whatever_the_threshold(integer_network):
    """A first timestep with a threshold is that without: nothing of the state is left out."""
    recipe = Recipe(skip="delta", theta={"l.0": {"x": 0, "h": 40}})
    coarse = integer_network(cells.GRU(3, 5), recipe=recipe)
    fine = integer_network(cells.GRU(3, 5), recipe=Recipe(skip="delta"))
    sequences = random_sequences(coarse, np.random.default_rng(0), (1, 1))
    states = load_states(coarse, random_states(coarse, 2), 2)
    run = golden.run(coarse, sequences, states, trace=True)
    for got, wanted in zip(run.outputs, golden.run(fine, sequences, states).outputs, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_the_models_own_state_is_never_listed(integer_network, skip):
    """The same bits as if it were given; sums start with its products."""
    network = integer_network(cells.LSTM(3, 5), recipe=Recipe(skip=skip))
    given = random_states(network, 1)["l.0"]
    layer = replace(network.layers[0], initial={name: v[0] for name, v in given.items()})
    own = IntegerNetwork((layer,))
    sequences = random_sequences(network, np.random.default_rng(3), (6, 1))
    both = {"l.0": {name: np.repeat(values, 2, axis=0) for name, values in given.items()}}
    wanted = golden.run(network, sequences, load_states(network, both, 2), trace=True)
    got = golden.run(own, sequences, trace=True)
    for a, b in zip(got.outputs, wanted.outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not got.traces["l.0"].fired["h"][:, 0].any()
    assert wanted.traces["l.0"].fired["h"][:, 0].any()
    zero = load_states(own, {"l.0": {name: v * 0 for name, v in both["l.0"].items()}}, 2)
    for a, b in zip(
        golden.run(own, sequences, zero).outputs,
        golden.run(network, sequences).outputs,
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
