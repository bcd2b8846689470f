# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, LiGRU, Linear, PeepholeLSTM, ReluRNN
from deltaloom.compiler.graph import Affine
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.gates import GatePipeline
from deltaloom.sim import golden

CELLS = [
    LSTM(3, 5),
    LSTM(1, 1),
    GRU(3, 7),
    GRU(2, 1),
    RNN(3, 5),
    ReluRNN(2, 4),
    LiGRU(3, 4),
    PeepholeLSTM(2, 3),
    RNN(1, 66),
    Linear(4, 3),
    Linear(2, 5, "tanh"),
    Linear(2, 3, "relu"),
    Linear(2, 3, "leaky_relu(0.25)"),
    Linear(2, 4, "hard_tanh(-1.0, 1.0)"),
    Linear(3, 2, "softplus"),
]
STEPS = 4


def sums_of(folded, x, h):
    """Accumulators of every unit without bias, packed as the drain gives them."""
    layer, width = folded.layer, folded.accumulator_width
    operands = {"x": x, "h": h}
    words = np.zeros(layer.units, dtype=object)
    positions = [position for row in folded.rows for position in row]
    for place, position in enumerate(positions):
        affine = layer.graph.nodes[position]
        total = sum(
            (layer.weights[affine.key(path)] @ operands[path.name]) << layer.shift(affine, path)
            for path in affine.paths
        )
        words += (total.astype(object) % (1 << width)) << place * width
    return words


@pytest.mark.parametrize(
    "recipe",
    [Recipe(), Recipe("int4", "int6", elementwise=9, output=5), Recipe("int16", "int15")],
    ids=["8 bits", "narrow", "wide"],
)
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{type(c).__name__}-{c.hidden_size}")
def test_timesteps(bench, integer_network, cell, recipe):
    """Units one after the other, timestep by timestep; the second one of them begins anew."""
    network = integer_network(cell, recipe=recipe)
    folded = schedule(network, 4).layers[0].output
    layer, rng = folded.layer, np.random.default_rng(0)
    low, high = network.input_format.min, network.input_format.max
    inputs = rng.integers(low, high + 1, (STEPS, cell.input_size))
    sequences = [inputs[:1], inputs[1:]]
    want = np.concatenate(golden.run(network, sequences).outputs)
    dut = GatePipeline(folded)
    got, flags_seen = [], []

    async def run(ctx):
        h = np.zeros(cell.hidden_size, dtype=np.int64)
        for step in range(STEPS):
            fresh = step in (0, 1)
            words = sums_of(folded, inputs[step], 0 * h if fresh else h)
            flags = int(fresh) | int(step == STEPS - 1) << 1 | (step % 2) << 2
            entries = []  # unit that enters in each cycle, or None
            for unit in range(layer.units):
                entries += [None] * int(rng.integers(0, 3)) + [unit]
            entries = [None, None, None, *entries, *[None] * (dut.depth + 1)]
            outputs, operands = [], []
            for cycle, unit in enumerate(entries):
                # As in the drain, a unit's number stays until the next one is chosen.
                coming = [u for u in entries[cycle:] if u is not None] or [0]
                ahead = [u for u in entries[cycle + 1 :] if u is not None] or [0]
                before = [u for u in entries[cycle + 2 :] if u is not None] or [0]
                early = cycle + folded.drain_latency - 1
                biases = [u for u in entries[early:] if u is not None] or [0]
                ctx.set(dut.bias_unit, biases[0])
                ctx.set(dut.unit, coming[0])
                ctx.set(dut.unit_ahead, ahead[0])
                ctx.set(dut.unit_before, before[0])
                ctx.set(dut.valid, unit is not None)
                ctx.set(dut.flags, flags)
                ctx.set(dut.accumulators, int(words[ahead[0]]))
                valid = ctx.get(dut.valid_at)
                if valid >> folded.output_time & 1:
                    outputs.append(ctx.get(dut.output))
                    assert ctx.get(dut.unit_at[folded.output_time]) == len(outputs) - 1
                    flags_seen.append((flags, ctx.get(dut.flags_at[folded.output_time])))
                if layer.recurrent and valid >> folded.operand_time & 1:
                    operands.append(ctx.get(dut.operand))
                    assert ctx.get(dut.unit_at[folded.operand_time]) == len(operands) - 1
                await ctx.tick()
            got.append(outputs)
            h = np.array(operands or h)

    bench(dut, run)
    np.testing.assert_array_equal(got, want)
    assert all(given == seen for given, seen in flags_seen)


def test_no_register_before_a_sum_is_rounded(integer_network):
    """Sums and biases enter in the cycle that the schedule calls 0."""
    folded = schedule(integer_network(LSTM(3, 5)), 4).layers[0].output
    times = folded.times
    assert {times[position] for position, _ in folded.layer.graph.of(Affine)} == {0}
