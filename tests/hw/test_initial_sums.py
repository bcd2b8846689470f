from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, ResetBeforeGRU
from deltaloom.compiler.graph import Affine
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.initial_sums import initial_operand, initial_words
from deltaloom.hw.lane_plan import sum_widths


def started(network):
    rng = np.random.default_rng(0)
    (layer,) = network.layers
    states = [node for node in layer.graph.nodes if type(node).__name__ == "State"]
    initial = {s.name: rng.integers(s.format.min, s.format.max + 1, s.size) for s in states}
    return IntegerNetwork((replace(layer, initial=initial),))


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


@pytest.mark.parametrize("lanes", [1, 4, 15, 40])
@pytest.mark.parametrize("cell", [GRU(3, 5), LSTM(2, 7), ResetBeforeGRU(3, 5)])
def test_each_accumulator_starts_with_its_products(integer_network, cell, lanes):
    network = started(integer_network(cell))
    folded = schedule(network, lanes).layers[0]
    layer, words = folded.layer, initial_words(folded)
    assert len(words) == folded.slots
    starts = np.cumsum([0, *sum_widths(folded)])
    operand = layer.operands[1]
    h = initial_operand(layer, operand)
    for number, stage in enumerate(folded.stages):
        width = stage.accumulator_width
        for element in range(stage.size):
            block, unit = divmod(element, stage.units)
            for row, affines in enumerate(stage.rows):
                fold, lane = stage.place(unit, row)
                word = words[folded.first_pass[number] + block * stage.folds + fold]
                for at, position in enumerate(affines):
                    affine = layer.graph.nodes[position]
                    wanted = sum(
                        int(layer.weights[affine.key(path)][element] @ h)
                        << layer.shift(affine, path)
                        for path in affine.paths
                        if path.operand == operand.node
                    )
                    bits = word >> (int(starts[lane]) + at * width) & ((1 << width) - 1)
                    assert signed(bits, width) == wanted
    assert any(isinstance(node, Affine) for node in layer.graph.nodes)


def test_a_state_of_zeros_is_none(integer_network):
    network = started(integer_network(GRU(3, 5)))
    layer = network.layers[0]
    zero = replace(layer, initial={"h": np.zeros(5, np.int64)})
    assert initial_operand(layer, layer.operands[0]) is None
    assert initial_operand(layer, layer.operands[1]) is not None
    assert initial_operand(zero, layer.operands[1]) is None
