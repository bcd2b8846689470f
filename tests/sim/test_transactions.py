import numpy as np
import pytest

from deltaloom.compiler.address_map import AddressMap
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.states import LoadedStates
from deltaloom.sim import golden
from deltaloom.sim.sequences import random_sequences
from deltaloom.sim.transactions import Duration, Transactions, counters, plan, with_counters


@pytest.fixture(scope="module")
def network(integer_network):
    return integer_network(GRU(2, 3), Linear(3, 2), recipe=Recipe(skip="delta"))


@pytest.fixture(scope="module")
def planned(network):
    """Two sequences: the second starts from states, and all are read after it."""
    sequences = random_sequences(network, np.random.default_rng(0), (4, 2))
    values = {"l.0": {"h": np.array([[0, 0, 0], [7, -8, 9]])}}
    states = LoadedStates(values, np.array([False, True]))
    run = golden.run(network, sequences, states, trace=True)
    return run, plan(network, sequences, run, states, np.array([False, True]), timed=False)


def test_what_happens_when(network, planned):
    run, transactions = planned
    at = AddressMap.of(network).addresses
    h = at["l.0.h"]
    rows = list(zip(*transactions.table().tolist(), strict=True))
    assert rows[:4] == [
        (1, h, 7, 8, 8),
        (1, h + 4, -8, 8, 8),
        (1, h + 8, 9, 8, 8),
        (1, at["l.0.load"], 1, 8, 8),
    ]
    left = run.states["l.0"]["h"][1].tolist()
    assert rows[4:7] == [(0, h + 4 * place, left[place], 12, 12) for place in range(3)]
    assert [row[1] for row in rows[7:]] == [
        at[name]
        for name in (
            *("l.0.steps", "l.0.kept.x", "l.0.kept.h", "l.0.saturated", "l.0.saturated.h"),
            *("l.1.steps", "l.1.kept.x", "l.1.saturated"),
        )
    ]


def test_counters(network, planned):
    run, transactions = planned
    full = with_counters(transactions, network, run, [4, 2], 99, timed=False)
    found = counters(network, run, [4, 2], 99)
    assert found["cycles"] == 99
    assert found["l.0.steps"] == 6
    assert found["l.0.kept.x"] == run.traces["l.0"].fired["x"].sum()
    assert found["l.0.saturated"] == sum(run.traces["l.0"].saturated.values())
    assert full.answers[-8:].tolist() == [found[name] for name in list(found)[1:]]
    assert not full.answers[:4].any()


def test_how_long_they_take(network):
    duration = Duration(network, schedule(network, 3, registers=True))
    at = AddressMap.of(network).addresses
    assert duration.answer(True, at["l.0.h"], 10, 0) == 12
    assert duration.answer(False, at["l.0.h"], 10, 0) == 13
    assert duration.answer(False, at["l.0.h"], 10, 30) == 32
    assert duration.answer(False, at["l.0.steps"], 10, 30) == 13
    assert duration.answer(False, at["l.0.saturated.h"], 10, 30) == 32
    assert duration.answer(True, at["l.0.load"], 10, 0) == 12 + 3 + 6


def test_fields_are_of_one_length():
    with pytest.raises(ValueError, match="Transactions must have one address each"):
        Transactions(np.zeros(2, bool), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros(2))
