"""Convolutional layers in hardware: equal to golden and cycle model in every bit and cycle."""

# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.cells import ConvLSTM, Linear, PeepholeConvLSTM
from deltaloom.compiler.recipe import Recipe

MODES = {
    "none": Recipe(),
    "zero": Recipe(skip="zero"),
    "delta": Recipe(skip="delta"),
    "theta": Recipe(skip="delta", theta=9),
}
CASES = {
    "one pixel": (ConvLSTM(1, 1, (1, 1), 1), 4),
    "one pixel, 3x3": (ConvLSTM(2, 3, (1, 1), 3), 5),
    "a row": (PeepholeConvLSTM(1, 2, (1, 5), 3), 8),
    "a column": (ConvLSTM(2, 1, (4, 1), 2), 1),
    "3x5": (PeepholeConvLSTM(2, 3, (3, 5), 3), 5),
    "even": (ConvLSTM(1, 2, (3, 2), (2, 4), state_kernel=(4, 3)), 8),
    "dilated": (ConvLSTM(1, 2, (5, 5), (2, 3), "valid", (3, 2), state_kernel=3), 3),
    "padded": (ConvLSTM(1, 1, (1, 2), 2, 1), 3),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_equals_the_hardware(prove, integer_network, name, mode):
    cell, lanes = CASES[name]
    network = integer_network(cell, recipe=MODES[mode])
    prove(network, {"l.0": lanes}, lengths=(3, 1, 1, 2), stalls=(0.0, 0.5))


def test_between_other_layers(prove, integer_network):
    cells = [Linear(3, 12), ConvLSTM(2, 2, (2, 3), 3), ConvLSTM(2, 1, (2, 3), 3), Linear(6, 2)]
    network = integer_network(*cells[:3], "last", cells[3], recipe=MODES["delta"])
    prove(network, 12, lengths=(4, 1, 3), stalls=(0.3,))
