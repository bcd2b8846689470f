from dataclasses import replace

import numpy as np
import pytest

from deltaloom.boards.bridge import Bridge
from deltaloom.boards.budget import (
    SHARE,
    check_schedule,
    lane_multipliers,
    most_lanes,
    need_of,
    target_of,
    with_bridge,
)
from deltaloom.boards.catalogue import get
from deltaloom.boards.fits import Need
from deltaloom.boards.flow import synthesise
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.errors import DoesNotFitError
from deltaloom.compiler.network import Embedding, Network, Reverse
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import most_useful_lanes, schedule

ECP5, LARGE, SMALL = get("ulx3s_25f"), get("ulx3s_85f"), get("icebreaker")


@pytest.mark.parametrize(
    ("weights", "lanes", "expected"),
    [("int8", 8, 8), ("int3", 8, 4), ("int3", 7, 4), ("ternary", 8, 0), ("shift4", 8, 0)],
)
def test_multipliers_of_lanes(integer_network, weights, lanes, expected):
    network = integer_network(LSTM(3, 6), recipe=Recipe(weights, "int6", skip="delta"))
    folded = schedule(network, lanes, target_of(ECP5))
    assert lane_multipliers(folded.layers[0]) == expected
    rest = need_of(folded).multipliers - expected
    assert rest == 8  # three products, five tables
    soft = schedule(network, lanes, target_of(SMALL))
    assert need_of(soft).multipliers == rest


def test_real_scales_take_a_multiplier_a_gate(integer_network):
    needs = [
        need_of(schedule(integer_network(GRU(3, 5), recipe=Recipe("binary", scale=scale)), 6))
        for scale in ("power-of-two", "real")
    ]
    assert needs[1].multipliers - needs[0].multipliers == 4


@pytest.mark.parametrize("weights", ["int8", "ternary", "shift3", "shift4"])
def test_most_lanes_leave_logic_for_the_rest(integer_network, weights):
    network = integer_network(LSTM(16, 128), recipe=Recipe(weights, skip="delta"))
    lanes = most_lanes(network, ECP5)
    folded = schedule(network, lanes, target_of(ECP5))
    check_schedule(folded, ECP5)
    need = need_of(folded)
    assert need.luts <= SHARE * ECP5.luts
    assert need.flip_flops <= SHARE * ECP5.flip_flops
    if weights == "int8":
        assert need.multipliers == ECP5.multipliers
    else:
        assert 28 < lanes < most_useful_lanes(network.computing[0])


def test_memories_between_engines_count(random_layer):
    """A reversal of long sequences, and a table of many words, before any tool runs."""
    x = np.random.default_rng(0).integers(0, 9, (2, 5, 1))
    table = np.random.default_rng(1).normal(size=(20_000, 16))
    front = {
        "reversal": (random_layer("a", Linear(1, 16)), Reverse("back", 5000)),
        "table": (Embedding("words", table),),
    }
    for layers in front.values():
        network = quantize(Network((*layers, random_layer("b", Linear(16, 2)))), x)
        sentence = r"^Board ulx3s_25f has 56 block RAMs, design needs \d+: "
        with pytest.raises(DoesNotFitError, match=sentence):
            check_schedule(schedule(network, 2, target_of(ECP5)), ECP5)
        check_schedule(schedule(network, 2, target_of(LARGE)), LARGE)


def test_registers_and_bridge_count(integer_network):
    """A counter takes as many tables and flip-flops as it has bits, and a choice."""
    network = integer_network(LSTM(3, 6), recipe=Recipe(skip="delta"))
    plain, counting = (schedule(network, 4, target_of(ECP5), registers=r) for r in (False, True))
    need, more = need_of(plain), need_of(counting)
    counters = 7  # cycles, steps, two lists, what is cut off in all and of two states
    assert more.flip_flops - need.flip_flops == 32 * (counters + 1)
    assert more.luts - need.luts == 48 * counters
    assert len(more.memories) == len(need.memories)  # of six words: made of logic
    with_it = with_bridge(more, True)
    assert with_it.memories[-1] == (11, 256)
    assert with_it.luts > with_bridge(more, False).luts


def test_what_registers_cost_is_said(integer_network):
    """With a board on which all else fits, they are what has to go."""
    network = integer_network(GRU(3, 6), recipe=Recipe(skip="delta"))
    plain, counting = (schedule(network, 4, target_of(SMALL), registers=r) for r in (False, True))
    need = with_bridge(need_of(plain), False)
    tight = replace(SMALL, luts=need.luts)
    check_schedule(plain, tight)
    with pytest.raises(DoesNotFitError, match=r"needs [\d,]+: fewer lanes .*, or no registers$"):
        check_schedule(counting, tight)
    with pytest.raises(DoesNotFitError, match=r"or a larger board$"):
        check_schedule(counting, replace(tight, luts=need.luts - 1))
    assert most_lanes(network, tight, registers=True) <= most_lanes(network, tight)


@pytest.mark.slow
@pytest.mark.parametrize("board", [LARGE, SMALL], ids=lambda board: board.name)
@pytest.mark.parametrize("address_bits", [0, 10])
def test_the_bridge_is_no_smaller(board, address_bits, tmp_path):
    cells = synthesise(Bridge(1, 1, 104, address_bits), board, tmp_path)
    need = with_bridge(Need(), bool(address_bits))
    assert need.luts <= cells.luts + (2 * cells.carries if board is LARGE else 0) <= 1.6 * need.luts
    assert need.flip_flops <= cells.flip_flops <= 1.2 * need.flip_flops
    assert cells.block_rams == 1
