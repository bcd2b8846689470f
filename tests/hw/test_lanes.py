# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import Target
from deltaloom.hw.lanes import Lane, Lanes, lane_rows, sum_widths

CASES = {
    "LSTM": (LSTM(3, 5), 8, {}),
    "LSTM folded": (LSTM(3, 5), 3, {}),
    "GRU": (GRU(3, 5), 6, {}),
    "GRU folded": (GRU(4, 7), 2, {}),
    "GRU on one lane": (GRU(2, 3), 1, {}),
    "RNN": (RNN(3, 5), 4, {}),
    "Linear": (Linear(5, 3), 2, {}),
    "two stages": (ResetBeforeGRU(3, 5), 4, {}),
    "two stages folded": (ProjectedLSTM(2, 5, 7), 3, {}),
    "aligned": (LSTM(2, 3), 5, {"paths": {"l.0.*.h": {"weights": "int3"}}}),
    "aligned by gate": (GRU(2, 3), 2, {"paths": {"l.0.[rz].x": {"weights": "int2"}}}),
}


def wrapped(values, bits):
    return (values + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def uses(folded, row, awaited):
    """Which accumulator takes a row's products with the input or not, and their left shift."""
    for place, position in enumerate(row):
        affine = folded.layer.graph.nodes[position]
        for path in affine.paths:
            if (path.name != "x") == awaited:
                return place, folded.layer.shift(affine, path)
    return None


@pytest.mark.parametrize("blocks", [True, False], ids=["multipliers", "logic"])
@pytest.mark.parametrize("name", CASES)
def test_sums(cycles, integer_network, name, blocks):
    """Random entries against products and sums in NumPy, accumulators of either kind."""
    cell, count, options = CASES[name]
    network = integer_network(cell, recipe=Recipe("int5", "int4", **options))
    (folded,) = schedule(network, {"l.0": count}, Target(lane_multipliers=blocks)).layers
    lists = 1 if isinstance(cell, Linear) else 2
    width, bits, steps = folded.accumulator_width, 5, 160
    widths = sum_widths(folded)
    dut = Lanes(folded, [5] * lists)
    rng = np.random.default_rng(0)

    values = rng.integers(-16, 16, (2, steps))
    weights = rng.integers(-16, 16, (steps, count))
    state = rng.integers(0, lists, steps)
    fold = rng.integers(0, folded.folds, steps)
    real, valid = rng.random(steps) < 0.9, rng.random(steps) < 0.8
    zero, load = rng.random(steps) < 0.1, rng.random(steps) < 0.1
    totals = sum(widths)
    kept = rng.integers(0, 1 << 30, steps).astype(object) ** 30 % (1 << totals)
    packed = [sum(int(w & 31) << bits * lane for lane, w in enumerate(word)) for word in weights]
    lead = [0]
    seen = cycles(
        dut,
        {
            "x_value": values[0],
            "h_value": values[lists - 1],
            "real": real,
            "state": state,
            "fold": fold,
            "weights": lead * 2 + packed,
            "valid": [*lead * 4, *valid, 0],
            "zero": [*lead * 4, *zero],
            "load": [*lead * 4, *load],
            "product_state": [*lead * 4, *state],
            "product_fold": [*lead * 4, *fold],
            "kept": [*lead * 4, *kept],
        },
        ["sums"],
        steps + dut.latency,
    )["sums"][dut.latency :]

    starts = np.cumsum([0, *widths])
    sums = {}
    for step in range(steps):
        for lane in range(count):
            row = lane_rows(folded, lane)[fold[step]]
            accumulators = widths[lane] // width
            for n in range(accumulators):
                low = int(starts[lane]) + n * width
                stored = int(kept[step]) >> low & (1 << width) - 1
                begin = 0 if zero[step] else stored if load[step] else sums.get((lane, n), 0)
                if valid[step]:
                    sums[lane, n] = None  # a lane without a row in this fold may hold anything
                    if row is not None and begin is not None:
                        value, weight = int(values[state[step], step]), int(weights[step, lane])
                        used = uses(folded, row, bool(state[step]))
                        if used is None:  # a projection has no products with the input
                            continue
                        place, shift = used
                        product = weight * (value << shift) if real[step] and place == n else 0
                        sums[lane, n] = wrapped(begin + product, width)
                if sums.get((lane, n)) is None:
                    continue
                got = int(seen[step]) >> low & (1 << width) - 1
                assert wrapped(got, width) == sums[lane, n], (step, lane, n)


def test_lane_latency(cycles):
    dut = Lane(4, 5, 12, 1)
    inputs = {"weight": [3, 0], "factor": [-7, 0], "valid": [0, 0, 1, 0], "zero": [0, 0, 1, 0]}
    seen = cycles(dut, inputs, ["sums"], 8)["sums"]
    assert np.flatnonzero(np.array(seen) == (-21) % (1 << 12))[0] == Lane.latency == dut.latency


def test_rows_of_lanes(integer_network):
    (folded,) = schedule(integer_network(LSTM(3, 5)), {"l.0": 3}).layers
    rows = folded.output.rows
    assert (folded.output.units, folded.folds) == (2, 3)
    assert [lane_rows(folded, lane) for lane in range(3)] == [
        [rows[0], rows[3], rows[2]],
        [rows[1], rows[0], rows[3]],
        [rows[2], rows[1], None],
    ]


def test_only_rows_of_two_sums_take_two_accumulators(integer_network):
    (folded,) = schedule(integer_network(GRU(3, 5)), {"l.0": 15}).layers
    width = folded.accumulator_width
    assert sum_widths(folded) == [width, width, 2 * width] * 5
