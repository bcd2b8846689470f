"""States loaded before some sequences and read after some: bits, answers, counters and cycles."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler import cells
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.target import Target
from deltaloom.sim import pysim

PROJECTED = cells.ProjectedLSTM(3, 7, 2)
DENSE = Recipe(skip="none")
ZERO = Recipe(skip="zero")
DELTA = Recipe(skip="delta")


def thresholds(**theta):
    return Recipe(skip="delta", theta={"l.0": theta})


@pytest.mark.parametrize(
    ("layers", "recipe", "lanes"),
    [
        ((cells.LSTM(3, 5), cells.GRU(5, 3)), DELTA, 9),
        ((cells.GRU(2, 5),), thresholds(x=2, h=9), 3),
        ((cells.ResetBeforeGRU(3, 4),), thresholds(h=5, rh=7), 4),
        ((PROJECTED, cells.Linear(2, 3)), DENSE, 5),
        ((cells.SRU(3, 5),), ZERO, 2),
        ((cells.LSTM(1, 1),), DELTA, 1),
        ((cells.LayerNormLSTM(2, 3),), ZERO, 7),
    ],
)
def test_hardware_equals_its_models(integer_network, prove, layers, recipe, lanes):
    network = integer_network(*layers, recipe=recipe)
    prove(network, lanes_of(network, lanes), registers=True, lengths=(3, 1, 1, 4, 2))


def lanes_of(network, lanes):
    return max(lanes, len(network.computing))


@pytest.mark.parametrize("skip", ["none", "delta"])
def test_convolution(integer_network, prove, skip):
    network = integer_network(cells.ConvLSTM(1, 2, (2, 3), 3), recipe=Recipe(skip=skip))
    prove(network, 3, registers=True, lengths=(2, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_every_cell(integer_network, prove, stateful_cell, skip):
    network = integer_network(stateful_cell, recipe=Recipe(skip=skip))
    for lanes in (1, 6, 100):
        for target in (Target(True, True), Target(False, False)):
            options = {"target": target, "seed": lanes}
            prove(network, lanes, registers=True, stalls=(0.0, 0.4), **options)


@pytest.mark.slow
def test_long_sequences(integer_network, prove):
    network = integer_network(cells.GRU(3, 6), recipe=DELTA)
    prove(network, 4, registers=True, lengths=(130, 1, 110), stalls=(0.0, 0.3))


def test_without_loads_nothing_is_lost(integer_network, make_run, check_run):
    """Sequences that start from zero take as long as in a design without registers."""
    network = integer_network(cells.LSTM(2, 4), recipe=DELTA)
    plain = make_run(network, 4, lengths=(3, 1, 2))
    with_block = make_run(network, 4, lengths=(3, 1, 2), registers=True)
    simulator = pysim.PySim(*build_with_registers(with_block))
    capture = simulator.run(plain.stimulus)
    np.testing.assert_array_equal(capture.delivered, plain.predicted.delivered)
    np.testing.assert_array_equal(capture.accepted, plain.predicted.accepted)


def build_with_registers(case):
    from deltaloom.hw.accelerator import Accelerator
    from deltaloom.sim.stimulus import Ports

    design = Accelerator(case.network, case.schedule)
    widths = (len(design.s_axis_tdata), len(design.m_axis_tdata), len(design.s_axil_awaddr))
    return design, Ports(*widths)
