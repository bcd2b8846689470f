# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ReluRNN
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import (
    DRAIN_LATENCY,
    ENCODER_LATENCY,
    ENTRY_LATENCY,
    QUEUE_LATENCY,
    RECEIVER_LATENCY,
)
from deltaloom.hw.engine import Engine

MODES = {
    "none": Recipe(),
    "zero": Recipe(skip="zero"),
    "delta": Recipe(skip="delta"),
    "theta": Recipe(skip="delta", theta=9),
}


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["flowing", "stalling"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("cell", "lanes"),
    [(LSTM(3, 5), 3), (GRU(2, 7), 9), (ReluRNN(5, 3), 1), (Linear(3, 4), 3)],
    ids=["LSTM", "GRU", "ReluRNN", "Linear"],
)
def test_streams(stream, integer_network, make_run, cell, lanes, mode, stall):
    """Fed and drained at random, the engine alone gives what the golden model says."""
    network = integer_network(cell, recipe=MODES[mode])
    case = make_run(network, {"l.0": lanes}, lengths=(4, 1, 2), seed=1)
    lengths = [len(sequence) for sequence in case.sequences]
    beats = [
        {"value": int(value), "last": int(step == length - 1)}
        for sequence, length in zip(case.sequences, lengths, strict=True)
        for step in range(length)
        for value in sequence[step]
    ]
    want = [
        {"value": value, "last": int(step == len(output) - 1), "end": int(unit == len(vector) - 1)}
        for output in case.run.outputs
        for step, vector in enumerate(output.tolist())
        for unit, value in enumerate(vector)
    ]
    seen = stream(Engine(case.schedule.layers[0]), beats, stall=stall)
    assert seen == want


@pytest.mark.parametrize("inputs", [1, 2, 6])
def test_latency(prove, integer_network, inputs):
    """An input of n columns: its last element, its list, n columns, then gates and queue."""
    network = integer_network(RNN(inputs, 3))
    capture = prove(network, 3, lengths=(1,))
    layer = network.layers[0]
    operands = [operand.name for operand in layer.operands]
    assert operands == ["x", "h"]
    first = int(capture.delivered[0] - capture.accepted[-1])
    start = 1
    gates = 1 + 4  # rounding of the sum, table
    gates += layer.graph.nodes[layer.graph.output].name.startswith("tanh0_")  # and of the result
    lists = RECEIVER_LATENCY + ENCODER_LATENCY + start + inputs - 1
    assert first == lists + ENTRY_LATENCY + DRAIN_LATENCY + gates + QUEUE_LATENCY


@pytest.mark.parametrize("cell", [ReluRNN(1, 2), ReluRNN(2, 5)], ids=["2 units", "5 units"])
def test_a_state_that_is_ready_a_cycle_after_its_sum(prove, integer_network, cell):
    """Operands as wide as everything else: nothing is left between the sum's rounding and them."""
    recipe = Recipe("int8", "int13", skip="delta", elementwise=13)
    network = integer_network(cell, recipe=recipe)
    prove(network, {"l.0": 1}, lengths=(6, 6), stalls=(0.0, 0.3))


def test_refuses_anything_but_a_schedule():
    with pytest.raises(TypeError, match="^Schedule must be a LayerSchedule, not 8$"):
        Engine(8)
