from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.sim import golden, shared_runs
from deltaloom.sim.activity import measure
from deltaloom.sim.sequences import random_sequences
from deltaloom.sim.shared_runs import SharedRuns

LENGTHS = (5, 1, 9, 4)


@pytest.fixture
def network(integer_network):
    return integer_network(
        GRU(3, 5), LSTM(5, 4), "last", Linear(4, 2), recipe=Recipe(skip="delta", theta=4)
    )


@pytest.fixture
def sequences(network):
    return random_sequences(network, np.random.default_rng(0), LENGTHS)


@pytest.fixture
def ran(monkeypatch):
    """Names of the layers that are really run."""
    names = []
    run_part = golden.run_part

    def noted(network, layer, *arguments, **options):
        names.append(layer.name)
        return run_part(network, layer, *arguments, **options)

    monkeypatch.setattr(shared_runs, "run_part", noted)
    return names


def with_theta(network, name, **theta):
    layers = [
        replace(layer, theta={**layer.theta, **theta}) if layer.name == name else layer
        for layer in network.layers
    ]
    return IntegerNetwork(tuple(layers))


def check(runs, network, sequences):
    """A shared run is what the golden model says, and so is what was left out."""
    folded = schedule(network, 8)
    want = golden.run(network, sequences, trace=True)
    run, activity = runs.run(network, sequences)
    for got, outputs in zip(run.outputs, want.outputs, strict=True):
        np.testing.assert_array_equal(got, outputs)
    for layer, states in want.states.items():
        for name, values in states.items():
            np.testing.assert_array_equal(run.states[layer][name], values)
    assert activity == measure(network, want.traces, list(map(len, sequences)), folded).layers


@pytest.mark.parametrize("capacity", [1 << 20, 1])
def test_equals_the_golden_model_whatever_is_kept(network, sequences, capacity):
    runs = SharedRuns(schedule(network, 8), capacity)
    variants = [network, with_theta(network, "l.1", h=30), with_theta(network, "l.0", x=11)]
    for variant in (*variants, *reversed(variants), network):
        check(runs, variant, sequences)
        check(runs, variant, sequences[:2])


def test_runs_what_differs_and_what_follows(network, sequences, ran):
    runs = SharedRuns(schedule(network, 8))
    runs.run(network, sequences)
    assert ran == ["l.0", "l.1", "last", "l.3"]
    ran.clear()
    other = with_theta(network, "l.1", h=30)
    runs.run(other, sequences)
    assert ran == ["l.1", "last", "l.3"]
    ran.clear()
    runs.run(network, sequences)
    runs.run(other, sequences)
    assert ran == []
    runs.run(network, [sequence + (sequence == 0) for sequence in sequences])
    assert ran == ["l.0", "l.1", "last", "l.3"]


def test_little_room_keeps_little(network, sequences, ran):
    runs = SharedRuns(schedule(network, 8), capacity=1)
    runs.run(network, sequences)
    ran.clear()
    runs.run(network, sequences)
    assert ran[0] == "l.0"
