"""Depths of the queues before joins, by hand."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler import skew
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import MismatchError
from deltaloom.compiler.network import Concatenate, LastStep, Network, Pool, Reverse, Sum, Window
from deltaloom.compiler.quantize import quantize
from deltaloom.sim import pysim
from deltaloom.sim.stimulus import Stimulus

CASES = {
    # Two vectors, and two for the cell on the other way.
    "residual": (lambda cell: (cell("a", GRU(2, 2)), Sum("s", sources=("a", "input"))), (4, 8)),
    # The window shows three timesteps more than the vector that the input gives by then.
    "ahead": (
        lambda cell: (
            Window("w", 4, padding=(0, 3)),
            cell("a", Linear(8, 2)),
            Sum("s", sources=("a", "input")),
        ),
        (4, 14),
    ),
    "behind": (
        lambda cell: (
            Window("w", 4, padding=(3, 0)),
            cell("a", Linear(8, 2)),
            Sum("s", sources=("a", "input")),
        ),
        (4, 8),
    ),
    # Both know of an output's end one and two timesteps after its first one, at strides of 2.
    "strides": (
        lambda cell: (
            Window("past", 5, 2, padding=(4, 0)),
            Window("future", 5, 2, padding=(0, 4), sources=("input",)),
            Concatenate("s", sources=("past", "future")),
            cell("a", Linear(20, 1)),
        ),
        (10 * (2 + 3 // 2), 10 * 2),
    ),
    "reversal": (
        lambda cell: (
            cell("a", Linear(2, 3)),
            Window("w", 2, padding=(1, 1)),
            Reverse("r", 8),
            Window("v", 2, padding=(1, 1), sources=("a",)),
            Concatenate("s", sources=("r", "v")),
        ),
        (6 * 2, 6 * (2 + 8)),
    ),
    "once": (
        lambda cell: (
            cell("a", Linear(2, 3)),
            LastStep("l"),
            Window("w", 4, sources=("a",)),
            Pool("p", "max"),
            Concatenate("s", sources=("l", "p")),
        ),
        (3 * 2, 12 * 2),
    ),
}


def network_of(name, random_layer):
    layers, _ = CASES[name]
    return quantize(Network(layers(random_layer)), np.random.default_rng(0).normal(size=(3, 6, 2)))


@pytest.mark.parametrize("name", CASES)
def test_depths(random_layer, name):
    network = network_of(name, random_layer)
    assert skew.join_depths(network)["s"] == CASES[name][1]


def test_a_network_without_the_depth_stops(monkeypatch, random_layer, make_run, build_design):
    """With queues as deep as if the window did not look ahead, the hardware waits for ever."""
    network = network_of("ahead", random_layer)
    case = make_run(network, 1, lengths=(6, 6))
    monkeypatch.setattr("deltaloom.hw.accelerator.join_depths", lambda _: {"s": (4, 4)})
    stimulus = case.stimulus
    short = Stimulus(stimulus.data, stimulus.last, stimulus.outputs, limit=500)
    with pytest.raises(MismatchError, match="^Design hangs: nothing has moved"):
        pysim.build(*build_design(case)).run(short)
