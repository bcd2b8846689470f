import itertools
import re

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.integer import Skip
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import (
    balance,
    most_useful_lanes,
    schedule,
    spacing,
    steps_cycles,
)
from deltaloom.compiler.stage_schedule import fold, rows_of
from deltaloom.compiler.target import GENERIC, Target


def fewest_passes(lanes, rows, units):
    """Of every way to cut a layer: all rows of a block's units, over one or more walks."""
    return min(
        -(-units // block) * -(-block * rows // lanes)
        for block in range(1, units + 1)
        if -(-block * rows // lanes) <= rows
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_fold_needs_few_passes(rows):
    for lanes, units in itertools.product(range(1, 40), range(1, 24)):
        block, folds = fold(lanes, rows, units)
        assert 1 <= block <= units
        assert 1 <= folds <= rows
        assert block * rows <= lanes * folds
        assert 8 * -(-units // block) * folds <= 9 * fewest_passes(lanes, rows, units)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_fold_takes_the_fewest_folds_and_the_smallest_blocks(rows):
    """Among cuts with about as few passes: fewer folds first, then fewer units a block."""
    for lanes, units in itertools.product(range(1, 30), range(1, 20)):
        block, folds = fold(lanes, rows, units)
        passes = -(-units // block) * folds
        for fewer in range(1, folds):
            most = min(lanes * fewer // rows, units)
            few = 9 * fewest_passes(lanes, rows, units)
            assert not most or 8 * -(-units // most) * fewer > few
        assert block == 1 or -(-units // (block - 1)) * folds > passes


def test_fold_by_hand():
    assert fold(16, 4, 64) == (4, 1)
    assert fold(3, 4, 5) == (2, 3)
    assert fold(1, 1, 9) == (1, 1)
    assert fold(100, 3, 5) == (5, 1)
    assert fold(8, 4, 7) == (2, 1)
    assert fold(22, 3, 64) == (7, 1)  # 10 passes, where three folds would need 9


@pytest.mark.parametrize("cell", [LSTM(2, 7), GRU(3, 5), Linear(4, 3), ResetBeforeGRU(2, 9)])
@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 8, 13, 40])
def test_place_is_one_to_one(integer_network, cell, lanes):
    (layer,) = schedule(integer_network(cell), {"l.0": lanes}).layers
    for folded in layer.stages:
        rows = range(len(folded.rows))
        places = [folded.place(unit, row) for unit in range(folded.units) for row in rows]
        assert len(set(places)) == len(places)
        assert all(0 <= fold < folded.folds and 0 <= lane < lanes for fold, lane in places)


@pytest.mark.parametrize(
    ("cell", "rows"),
    [
        (LSTM(2, 3), [[["i"], ["f"], ["g"], ["o"]]]),
        (GRU(2, 3), [[["r"], ["z"], ["n_x", "n_h"]]]),
        (RNN(2, 3), [[["n"]]]),
        (Linear(2, 3), [[["y"]]]),
        (ResetBeforeGRU(2, 3), [[["r"], ["z"]], [["n"]]]),
        (ProjectedLSTM(2, 3, 2), [[["i"], ["f"], ["g"], ["o"]], [["p"]]]),
    ],
)
def test_gates_without_a_common_operand_share_a_row(integer_network, cell, rows):
    (layer,) = integer_network(cell).layers
    found = [
        [[layer.graph.nodes[p].name for p in row] for row in rows_of(stage)]
        for stage in layer.stages
    ]
    assert found == rows


@pytest.mark.parametrize("lanes", [3, 4, 7, 12, 25, 60, 500])
def test_balance_is_as_fast_as_can_be(integer_network, lanes):
    network = integer_network(LSTM(2, 3), ResetBeforeGRU(3, 4), Linear(4, 2))
    split = balance(network, lanes)
    layers = network.computing
    assert list(split) == [layer.name for layer in layers]
    assert min(split.values()) >= 1
    assert sum(split.values()) <= lanes

    def slowest(counts):
        return max(steps_cycles(layer, n) for layer, n in zip(layers, counts, strict=True))

    most = [most_useful_lanes(layer) for layer in layers]
    best = min(
        slowest(counts)
        for counts in itertools.product(*(range(1, n + 1) for n in most))
        if sum(counts) <= lanes
    )
    assert slowest(split.values()) == best


@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_layer(integer_network, skip):
    network = integer_network(GRU(3, 7), Linear(7, 4), recipe=Recipe(skip=skip))
    folded = schedule(network, {"l.0": 6, "l.1": 2})
    gru, linear = folded.layers
    assert folded.lanes == 8
    assert folded.of("l.1") is linear
    assert (gru.output.units, gru.output.blocks, gru.folds, gru.passes, gru.columns) == (
        2,
        4,
        1,
        4,
        10,
    )
    assert (linear.output.units, linear.output.blocks, linear.columns) == (2, 2, 7)
    assert (gru.x_ahead, linear.x_ahead) == (True, False)
    assert gru.keeps_sums
    assert linear.keeps_sums == (skip == "delta")


def test_stages_follow_each_other(integer_network):
    """Passes, folds and words are numbered through, each stage with columns of its own."""
    network = integer_network(ProjectedLSTM(3, 5, 2))
    (folded,) = schedule(network, {"l.0": 8}).layers
    assert [(stage.units, stage.blocks, stage.columns) for stage in folded.stages] == [
        (2, 3, 5),
        (2, 1, 5),
    ]
    assert (folded.first_pass, folded.passes) == ((0, 3), 4)
    assert (folded.first_fold, folded.folds) == ((0, 1), 2)
    assert (folded.first_word, folded.words) == ((0, 15), 20)
    assert folded.dense_cycles == 3 * 5 + 5
    assert folded.output is folded.stages[1]
    assert most_useful_lanes(folded.layer) == 20


def test_x_ahead_needs_kept_sums_or_cheap_memory(integer_network):
    for skip, distributed in itertools.product(Skip, (True, False)):
        recipe = Recipe(skip=skip.value, k=1 if skip is Skip.TOP_K else None)
        network = integer_network(LSTM(2, 3), recipe=recipe)
        (folded,) = schedule(network, 4, Target(distributed_memory=distributed)).layers
        assert folded.x_ahead == (distributed or skip in (Skip.DELTA, Skip.TOP_K))


def test_accumulator_holds_the_worst_input_and_no_bit_more(integer_network):
    """Inputs that reach the bound, computed in Python integers."""
    network = integer_network(LSTM(5, 4), recipe=Recipe("int6", "int5"))
    (folded,) = schedule(network, 4).layers
    layer, largest = folded.layer, 0
    for name in "ifgo":
        for unit in range(4):
            row = 0
            for operand in layer.operands:
                (affine,) = (n for n in layer.graph.nodes if n.name == name)
                (path,) = (p for p in affine.paths if p.name == operand.name)
                weights = layer.weights[affine.key(path)][unit]
                row += int(np.abs(weights).sum()) * 16 << layer.shift(affine, path)
            largest = max(largest, row)
    assert folded.accumulator_width == largest.bit_length() + 1


def test_output_queue_has_room_for_all_in_flight(integer_network):
    for hidden, lanes in ((1, 1), (9, 9), (40, 40)):
        (folded,) = schedule(integer_network(RNN(2, hidden)), {"l.0": lanes}).layers
        stage = folded.output
        assert stage.output_depth & (stage.output_depth - 1) == 0
        assert stage.output_depth >= 2 * stage.units + stage.output_time + 10


def test_spacing_covers_the_hat():
    assert spacing(Skip.NONE) == spacing(Skip.ZERO) == 1
    assert spacing(Skip.DELTA) == 5


@pytest.mark.parametrize(
    ("lanes", "sentence"),
    [
        (0, "Lanes must be a positive integer, not 0"),
        (True, "Lanes must be a positive integer, not True"),
        (2.0, "Lanes must be a positive integer, not 2.0"),
        ("8", "Lanes must be a positive integer, not '8'"),
        (1, "Lanes must be at least one a layer, 2 in all, not 1"),
        ({"l.0": 3}, "Lanes must name each of the layers l.0, l.1, not l.0"),
        ({"l.1": 3, "x": 1}, "Lanes must name each of the layers l.0, l.1, not l.1, x"),
        ({"l.0": 3, "l.1": 0}, "Lanes must be a positive integer, not 0"),
    ],
)  # fmt: skip
def test_refuses(integer_network, lanes, sentence):
    network = integer_network(RNN(2, 3), Linear(3, 1))
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence)}$"):
        schedule(network, lanes, GENERIC)
