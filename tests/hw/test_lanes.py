# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import Target
from deltaloom.hw.lane_plan import lane_rows, plan_lanes, sum_widths
from deltaloom.hw.lanes import Lane, Lanes
from deltaloom.hw.weights import pack

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
    "narrow differences": (GRU(3, 5), 7, {"weights": "int2", "skip": "delta"}),
    "binary": (LSTM(3, 5), 3, {"weights": "binary"}),
    "binary stages": (ResetBeforeGRU(3, 5), 4, {"weights": "binary"}),
    "ternary": (GRU(3, 5), 2, {"weights": "ternary", "skip": "delta"}),
    "shift3": (GRU(3, 5), 6, {"weights": "shift3"}),
    "shift4 stages": (ProjectedLSTM(2, 5, 7), 3, {"weights": "shift4"}),
    "shift2 on ternary": (
        GRU(2, 3),
        2,
        {"weights": "shift2", "paths": {"l.0.*.h": {"weights": "ternary"}}},
    ),
    "int4 on shift4": (
        LSTM(2, 3),
        5,
        {"weights": "shift4", "paths": {"l.0.[if].h": {"weights": "int4"}}},
    ),
    "aligned": (LSTM(2, 3), 5, {"paths": {"l.0.*.h": {"weights": "int3"}}}),
    "aligned by gate": (GRU(2, 3), 2, {"paths": {"l.0.[rz].x": {"weights": "int2"}}}),
}


def wrapped(values, bits):
    return (values + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def uses(folded, row, awaited):
    """Which accumulator takes a row's products with the input or not, their shift and encoding."""
    for place, position in enumerate(row or ()):
        affine = folded.layer.graph.nodes[position]
        for path in affine.paths:
            if (path.name != "x") == awaited:
                return place, folded.layer.shift(affine, path), path.encoding
    return None


@pytest.mark.parametrize("blocks", [True, False], ids=["multipliers", "logic"])
@pytest.mark.parametrize("name", CASES)
def test_sums(cycles, integer_network, name, blocks):
    """Random entries against products and sums in NumPy, accumulators of either kind."""
    cell, count, options = CASES[name]
    differences = options.get("skip") == "delta"
    recipe = Recipe(**{"weights": "int5", "activations": f"int{5 - differences}", **options})
    network = integer_network(cell, recipe=recipe)
    (folded,) = schedule(network, {"l.0": count}, Target(lane_multipliers=blocks)).layers
    lists = 1 if isinstance(cell, Linear) else 2
    width, steps = folded.accumulator_width, 160
    widths = sum_widths(folded)
    dut = Lanes(folded)
    rng = np.random.default_rng(0)

    values = rng.integers(-16 + differences, 16, (2, steps))
    state = rng.integers(0, lists, steps)
    fold = rng.integers(0, folded.folds, steps)
    real, valid = rng.random(steps) < 0.9, rng.random(steps) < 0.8
    zero, load = rng.random(steps) < 0.1, rng.random(steps) < 0.1
    totals = sum(widths)
    kept = rng.integers(0, 1 << 30, steps).astype(object) ** 30 % (1 << totals)
    rows = lane_rows(folded)
    weights = np.zeros((steps, count), dtype=np.int64)
    for step, lane in np.ndindex(steps, count):
        used = uses(folded, rows[lane][fold[step]], bool(state[step]))
        if used is not None:
            weights[step, lane] = rng.choice(used[2].levels)
    packed = pack(weights, [plan.code for plan in plan_lanes(folded)])
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
            row = rows[lane][fold[step]]
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
                        if used is None:  # no products of this kind
                            sums[lane, n] = begin
                            continue
                        place, shift, _ = used
                        product = weight * (value << shift) if real[step] and place == n else 0
                        sums[lane, n] = wrapped(begin + product, width)
                if sums.get((lane, n)) is None:
                    continue
                got = int(seen[step]) >> low & (1 << width) - 1
                assert wrapped(got, width) == sums[lane, n], (step, lane, n)


@pytest.mark.parametrize("carries", [False, True])
def test_lane_latency(cycles, carries):
    dut = Lane(6, 12, 1, carries=carries)
    inputs = {"product": [-21, 0], "carry": [1, 0], "valid": [1, 0], "zero": [1, 0]}
    seen = cycles(dut, inputs, ["sums"], 4)["sums"]
    wanted = (-21 + carries) % (1 << 12)
    assert np.flatnonzero(np.array(seen) == wanted)[0] == Lane.latency == dut.latency


def test_rows_of_lanes(integer_network):
    (folded,) = schedule(integer_network(LSTM(3, 5)), {"l.0": 3}).layers
    rows = folded.output.rows
    assert (folded.output.units, folded.folds) == (2, 3)
    assert lane_rows(folded) == [
        [rows[0], rows[3], rows[2]],
        [rows[1], rows[0], rows[3]],
        [rows[2], rows[1], None],
    ]


def test_only_rows_of_two_sums_take_two_accumulators(integer_network):
    (folded,) = schedule(integer_network(GRU(3, 5)), {"l.0": 15}).layers
    width = folded.accumulator_width
    assert sum_widths(folded) == [width, width, 2 * width] * 5
