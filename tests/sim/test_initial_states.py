"""Layers that start from a state of their own, in hardware: as if it were zero, in every cycle."""

# amaranth: UnusedElaboratable=no

from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler import cells
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.graph import State
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule

PROJECTED = cells.ProjectedLSTM(3, 7, 2)
DENSE, ZERO, DELTA = (Recipe(skip=skip) for skip in ("none", "zero", "delta"))


def started(network, seed=0):
    """The network with random states to start from, over all of their ranges."""
    rng = np.random.default_rng(seed)

    def start(layer):
        states = [state for _, state in layer.graph.of(State)]
        initial = {s.name: rng.integers(s.format.min, s.format.max + 1, s.size) for s in states}
        return replace(layer, initial=initial)

    return IntegerNetwork(tuple(start(layer) for layer in network.layers))


@pytest.mark.parametrize("registers", [False, True], ids=["plain", "registers"])
@pytest.mark.parametrize(
    ("layers", "recipe", "lanes"),
    [
        ((cells.GRU(3, 5), cells.LSTM(5, 3)), DELTA, 7),
        ((cells.GRU(2, 5),), Recipe(skip="delta", theta={"l.0": {"x": 2, "h": 9}}), 3),
        ((cells.ResetBeforeGRU(3, 4),), DENSE, 4),
        ((PROJECTED, cells.Linear(2, 3)), ZERO, 5),
        ((cells.SRU(3, 4),), DELTA, 1),
        ((cells.LSTM(1, 1),), DENSE, 1),
    ],
)
def test_hardware_equals_its_models(integer_network, prove, layers, recipe, lanes, registers):
    network = started(integer_network(*layers, recipe=recipe))
    prove(network, max(lanes, len(layers)), registers=registers, lengths=(3, 1, 1, 4))


def test_convolution(integer_network, prove):
    network = started(integer_network(cells.ConvLSTM(1, 2, (2, 3), 3), recipe=DELTA))
    prove(network, 3, lengths=(2, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_every_cell(integer_network, prove, stateful_cell, skip):
    network = started(integer_network(stateful_cell, recipe=Recipe(skip=skip)))
    for lanes in (1, 6, 100):
        prove(network, lanes, registers=lanes == 6, stalls=(0.0, 0.4), seed=lanes)


def test_no_cycle_is_lost(integer_network, make_run):
    """What is listed at first, the input alone, is what is listed without such a state."""
    plain = integer_network(cells.GRU(3, 5), recipe=DENSE)
    runs = [make_run(network, 4, lengths=(3, 1)) for network in (plain, started(plain))]
    np.testing.assert_array_equal(runs[0].predicted.delivered, runs[1].predicted.delivered)
    assert (runs[0].run.outputs[0] != runs[1].run.outputs[0]).any()


def test_top_k_is_refused(integer_network):
    network = started(integer_network(cells.GRU(3, 5), recipe=Recipe(skip="top_k", k=3)))
    with pytest.raises(UnsupportedError, match="Layer l.0 starts from a state of its own"):
        schedule(network, 4)
