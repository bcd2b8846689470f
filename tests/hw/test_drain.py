# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.drain import Drain
from deltaloom.hw.lane_plan import sum_widths

CASES = {
    "one unit": (RNN(1, 1), 1),
    "one block": (LSTM(3, 7), 28),
    "tail": (RNN(3, 7), 4),
    "tail of one": (RNN(3, 10), 3),
    "folds": (LSTM(3, 5), 3),
    "two sums": (GRU(3, 5), 6),
    "two sums, folds": (GRU(4, 7), 2),
    "two banks": (RNN(3, 17), 6),
    "two banks, folds": (LSTM(3, 11), 10),
    "two banks, one block": (RNN(2, 9), 9),
    "no state": (Linear(5, 3), 2),
    "biases in block RAM": (RNN(1, 66), 9),
}


def unit_word(folded, widths, sums, unit):
    """A unit's sums, row after row, from the sums of each fold."""
    starts = np.cumsum([0, *widths])
    word = at = 0
    for row, affines in enumerate(folded.rows):
        fold, lane = folded.place(unit, row)
        width = folded.accumulator_width * len(affines)
        word |= (sums[fold] >> int(starts[lane]) & (1 << width) - 1) << at
        at += width
    return word


@pytest.mark.parametrize("idle", [0.0, 0.7], ids=["pressed", "idle"])
@pytest.mark.parametrize("name", CASES)
def test_units_leave_in_order(cycles, integer_network, name, idle):
    """Passes end as soon as the banks allow, or later; each unit's cycle is told beforehand."""
    cell, lanes = CASES[name]
    (layer,) = schedule(integer_network(cell), {"l.0": lanes}).layers
    folded, widths, rng = layer.output, sum_widths(layer), np.random.default_rng(0)
    columns = {key: [] for key in ("sums", "store", "captured", "fold", "flags")}
    want, leaves = [], []  # what leaves, and the cycle in which each bank's last unit is selected
    free = 0  # first cycle in which the drain may select a new block's unit

    def cycle(**values):
        for key, column in columns.items():
            noise = int(rng.integers(0, folded.folds)) if key == "fold" else 0
            column.append(values.get(key, noise))

    for block in list(range(folded.blocks)) * 5:
        count = min(folded.units, cell.hidden_size - block * folded.units)
        flags = int(rng.integers(0, 8))
        sums = [int.from_bytes(rng.bytes(200)) % (1 << sum(widths)) for _ in range(folded.folds)]
        for fold in range(folded.folds):
            final = fold == folded.folds - 1
            bank = leaves[-folded.drain_banks] if len(leaves) >= folded.drain_banks else 0
            while rng.random() < idle or (final and len(columns["store"]) < bank):
                cycle(sums=int.from_bytes(rng.bytes(200)) % (1 << sum(widths)))
            cycle(sums=sums[fold], store=1, captured=final, fold=fold, flags=flags)
        first = max(len(columns["store"]), free)
        free = first + count
        leaves.append(free - 1)
        for unit in range(count):
            word = unit_word(folded, widths, sums, unit)
            number = block * folded.units + unit
            want.append((first + unit + folded.drain_latency - 1, number, word, flags))

    outputs = ["valid", "unit", "accumulators", "unit_flags", "unit_before", "unit_ahead"]
    seen = cycles(
        Drain(folded, widths),
        columns | {"store": [*columns["store"], 0], "captured": [*columns["captured"], 0]},
        outputs,
        free + 12,
    )
    got = [
        (at, seen["unit"][at], seen["accumulators"][at - 1], seen["unit_flags"][at])
        for at in np.flatnonzero(seen["valid"]).tolist()
    ]
    assert got == want
    for at, number, *_ in want:
        assert seen["unit_before"][at - 2] == number
        assert seen["unit_ahead"][at - 1] == number
