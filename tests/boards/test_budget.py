import numpy as np
import pytest

from deltaloom.boards.budget import (
    SHARE,
    check_schedule,
    lane_multipliers,
    most_lanes,
    need_of,
    target_of,
)
from deltaloom.boards.catalogue import get
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
