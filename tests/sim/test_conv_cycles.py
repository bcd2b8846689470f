"""Convolutional layers in hardware: equal to golden and cycle model in every bit and cycle."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import ConvLSTM, Linear, PeepholeConvLSTM
from deltaloom.compiler.conv_schedule import CLOSE_LATENCY, SPAN_LATENCY
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import QUEUE_LATENCY
from deltaloom.sim.conv_cycles import Walks

MODES = {
    "none": Recipe(),
    "zero": Recipe(skip="zero"),
    "delta": Recipe(skip="delta"),
    "theta": Recipe(skip="delta", theta=9),
}
CASES = {
    "one pixel": (ConvLSTM(1, 1, (1, 1), 1), 4),
    "one pixel, 3x3": (ConvLSTM(2, 3, (1, 1), 3), 5),
    "a row": (PeepholeConvLSTM(1, 2, (1, 5), 3), 8),
    "a column": (ConvLSTM(2, 1, (4, 1), 2), 1),
    "3x5": (PeepholeConvLSTM(2, 3, (3, 5), 3), 5),
    "2x3": (PeepholeConvLSTM(2, 3, (2, 3), 3), 5),
    "even": (ConvLSTM(1, 2, (3, 2), (2, 4), state_kernel=(4, 3)), 8),
    "dilated": (ConvLSTM(1, 2, (5, 5), (2, 3), "valid", (3, 2), state_kernel=3), 3),
    "padded": (ConvLSTM(1, 1, (1, 2), 2, 1), 3),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", [pytest.param("3x5", marks=pytest.mark.slow), *(n for n in CASES if n != "3x5")]
)
def test_equals_the_hardware(prove, integer_network, name, mode):
    cell, lanes = CASES[name]
    network = integer_network(cell, recipe=MODES[mode])
    prove(network, {"l.0": lanes}, lengths=(3, 1, 1, 2), stalls=(0.0, 0.5))


def test_between_other_layers(prove, integer_network):
    cells = [Linear(3, 12), ConvLSTM(2, 2, (2, 3), 3), ConvLSTM(2, 1, (2, 3), 3), Linear(6, 2)]
    network = integer_network(*cells[:3], "last", cells[3], recipe=MODES["delta"])
    prove(network, 12, lengths=(4, 1, 3), stalls=(0.3,))


def walk(inputs, states, issued, asked, state):
    """A pass, span after span: each is pushed when the next one with entries is known."""
    times = [asked + place for place in range(len(inputs))]
    times += [state + place for place in range(len(states))]
    real = [(time, count) for time, count in zip(times, [*inputs, *states], strict=True) if count]
    pushed = [time + SPAN_LATENCY for time, _ in real[1:]]
    pushed.append(times[-1] + SPAN_LATENCY + CLOSE_LATENCY)
    for time, count in zip(pushed, [count for _, count in real] or [1], strict=True):
        issued = max(issued, time + QUEUE_LATENCY) + count
    return issued


@pytest.mark.parametrize(("inputs", "states"), [(1, 1), (3, 3), (2, 9), (4, 1)])
def test_walks_are_those_of_span_after_span(inputs, states):
    rng = np.random.default_rng(inputs)
    counts = rng.integers(0, 6, (300, inputs + states))
    counts *= rng.random(counts.shape) < 0.6
    counts[:3] = 0
    walks = Walks.of(counts[:, :inputs], counts[:, inputs:])
    waits = rng.integers(0, 40, (300, 2)).cumsum(axis=1)
    issued = rng.integers(0, 60, 300)
    found = np.maximum(
        issued + walks.issued, np.maximum(waits[:, 0] + walks.asked, waits[:, 1] + walks.state)
    )
    wanted = [
        walk(row[:inputs], row[inputs:], start, *wait)
        for row, start, wait in zip(counts, issued, waits, strict=True)
    ]
    np.testing.assert_array_equal(found, wanted)
