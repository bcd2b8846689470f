import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM
from deltaloom.compiler.encodings import ENCODINGS, Integers
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import Target
from deltaloom.hw.lane_plan import ShiftCode, lane_code, plan_lanes, products, reach, second_place


def folded(integer_network, cell, lanes, target=None, **options):
    network = integer_network(cell, recipe=Recipe(**options))
    return schedule(network, {"l.0": lanes}, target or Target()).layers[0]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([], Integers.of(1)),
        (["int4", "int7"], Integers.of(7)),
        (["int2", "shift4"], Integers.of(9)),
        (["binary"], ShiftCode(0, False)),
        (["ternary"], ShiftCode(0, True)),
        (["quaternary", "shift2"], ShiftCode(1, False)),
        (["shift3", "binary"], ShiftCode(2, False)),
        (["shift4", "ternary"], ShiftCode(3, True)),
    ],
)
def test_code_of_what_a_lane_multiplies(names, code):
    assert lane_code({ENCODINGS[name] for name in names}) == code


def test_shift_codes_by_hand():
    """Some, exponent, sign: -8 is 1 11 1."""
    found = ShiftCode(2, True).codes(np.array([-8, 1, 4, 0]))
    np.testing.assert_array_equal(found, [0b1111, 0b1000, 0b1100, 0b0000])
    np.testing.assert_array_equal(ShiftCode(0, False).codes(np.array([-1, 1])), [1, 0])


@pytest.mark.parametrize(
    ("weights", "activations", "skip", "shared"),
    [
        ("int2", "int8", "delta", True),
        ("int4", "int4", "delta", True),
        ("int4", "int6", "none", True),
        ("int8", "int8", "none", False),
        ("int6", "int6", "none", False),
        ("ternary", "int4", "none", False),
    ],
)
def test_two_narrow_lanes_share_a_block(integer_network, weights, activations, skip, shared):
    paths = {"weights": weights, "activations": activations, "skip": skip}
    layer = folded(integer_network, LSTM(3, 5), 7, **paths)
    plans = plan_lanes(layer)
    found = products(layer, plans)
    assert sorted(lane for group in found for lane in group) == list(range(7))
    for group in found:
        assert len({plans[lane].shifts for lane in group}) == 1
    pairs = [group for group in found if len(group) == 2]
    assert bool(pairs) == shared
    alike = {}
    for plan in plans:
        alike[plan.shifts] = alike.get(plan.shifts, 0) + 1
    assert len(pairs) == (sum(count // 2 for count in alike.values()) if shared else 0)
    soft = folded(integer_network, LSTM(3, 5), 7, Target(lane_multipliers=False), **paths)
    assert products(soft, plan_lanes(soft)) == [(lane,) for lane in range(7)]


@pytest.mark.parametrize(("skip", "largest"), [("none", 8), ("delta", 15)])
def test_reach_of_list_values(integer_network, skip, largest):
    layer = folded(integer_network, GRU(3, 5), 3, activations="int4", skip=skip)
    assert reach(layer, ((0, 0),)) == largest
    assert reach(layer, ((0, 2), (None, 1))) == 4 * largest


@pytest.mark.parametrize(("largest", "place"), [(8, 8), (15, 8), (16, 9)])
def test_second_place_holds_every_product(largest, place):
    """4-bit weights: -8 * -8 is 64, which takes 8 bits; -8 * -15 is 120; -8 * -16 takes 9."""
    assert second_place(Integers.of(4), largest) == place
