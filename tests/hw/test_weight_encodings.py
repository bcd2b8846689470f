"""Whole accelerators with weights of every encoding: equal to both models in bits and cycles."""

# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    ConvLSTM,
    LiGRU,
    Linear,
    PeepholeLSTM,
    ProjectedLSTM,
    ResetBeforeGRU,
)
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.target import Target

CASES = {
    "binary LSTM": ([LSTM(3, 5)], 8, "binary", {}),
    "binary LSTM folded": ([LSTM(3, 5)], 3, "binary", {"skip": "zero"}),
    "ternary GRU": ([GRU(3, 5)], 6, "ternary", {"skip": "delta"}),
    "ternary GRU on one lane": ([GRU(2, 3)], 1, "ternary", {"skip": "delta", "theta": 2}),
    "quaternary LiGRU": ([LiGRU(4, 7)], 5, "quaternary", {"skip": "delta"}),
    "shift2 peepholes": ([PeepholeLSTM(2, 3)], 7, "shift2", {"skip": "zero"}),
    "shift3 chain": ([GRU(3, 7), Linear(7, 2)], {"l.0": 4, "l.1": 1}, "shift3", {}),
    "shift4 GRU folded": ([GRU(4, 7)], 2, "shift4", {"skip": "delta"}),
    "integers beside shifts": (
        [LSTM(3, 5)],
        5,
        "shift3",
        {"skip": "delta", "paths": {"l.0.*.x": {"weights": "int6"}}},
    ),
    "ternary beside binary": (
        [GRU(3, 4)],
        2,
        "ternary",
        {"skip": "zero", "paths": {"l.0.[rz].h": {"weights": "binary"}}},
    ),
    "shared LSTM": ([LSTM(3, 5)], 8, "int4", {"skip": "delta"}),
    "shared GRU, odd": ([GRU(3, 5)], 7, "int2", {"skip": "delta", "theta": 2}),
    "shared over folds": ([LSTM(3, 7)], 3, "int3", {"skip": "zero"}),
    "binary stages": ([ResetBeforeGRU(3, 5)], 4, "binary", {"skip": "delta"}),
    "shared stages": ([ProjectedLSTM(3, 5, 4)], 6, "int3", {}),
    "ternary convolutions": ([ConvLSTM(1, 2, (2, 3), 2)], 3, "ternary", {"skip": "delta"}),
    "a gate of integers": ([GRU(3, 4)], 3, "shift4", {"paths": {"l.0.z.*": {"weights": "int3"}}}),
}


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("name", CASES)
def test_equals_both_models(integer_network, prove, name, scale):
    cells, lanes, weights, options = CASES[name]
    recipe = Recipe(weights, "int5", elementwise=10, scale=scale, **options)
    network = integer_network(*cells, recipe=recipe)
    lanes = lanes if isinstance(lanes, dict) else {"l.0": lanes}
    target = Target(lane_multipliers="folded" not in name)
    prove(network, lanes, stalls=(0.0, 0.4), target=target)
