import numpy as np
import pytest
from amaranth.hdl import Fragment

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.lane_plan import weight_widths
from deltaloom.hw.weights import weight_memory, weight_words

CASES = [
    (LSTM(3, 5), 8),
    (LSTM(2, 7), 3),
    (LSTM(1, 1), 1),
    (GRU(3, 5), 6),
    (GRU(4, 7), 2),
    (GRU(1, 1), 9),
    (RNN(5, 11), 4),
    (Linear(5, 3), 2),
    (ResetBeforeGRU(3, 5), 4),
    (ResetBeforeGRU(2, 7), 1),
    (ProjectedLSTM(3, 5, 7), 8),
    (ProjectedLSTM(1, 4, 1), 3),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_every_weight_is_where_its_product_is_made(integer_network, number):
    cell, lanes = CASES[number]
    (folded,) = schedule(integer_network(cell), {"l.0": lanes}).layers
    layer, graph = folded.layer, folded.layer.graph
    words = weight_words(folded)
    assert words.shape == (folded.words, lanes)
    left = words.copy()
    starts = {"x": 0, "h": cell.input_size, "rh": cell.input_size, "m": 0}
    for stage, first in zip(folded.stages, folded.first_word, strict=True):
        places = [(row, position) for row, each in enumerate(stage.rows) for position in each]
        for row, position in places:
            affine = graph.nodes[position]
            for path in affine.paths:
                for (unit, column), weight in np.ndenumerate(layer.weights[affine.key(path)]):
                    block, place = divmod(unit, stage.units)
                    fold, lane = stage.place(place, row)
                    number = block * stage.folds + fold
                    at = first + number * stage.columns + starts[path.name] + column
                    assert words[at, lane] == weight
                    left[at, lane] = 0
    assert not left.any()


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_memory_holds_the_words(integer_network, bits):
    (folded,) = schedule(
        integer_network(LSTM(3, 5), recipe=Recipe(f"int{bits}")), {"l.0": 7}
    ).layers
    assert weight_widths(folded) == [bits] * 7
    words, memory = weight_words(folded), weight_memory(folded)
    Fragment.get(memory, None)  # used
    assert memory.depth == len(words)
    for word, packed in zip(words, memory.init, strict=True):
        fields = [packed >> bits * lane & (1 << bits) - 1 for lane in range(7)]
        np.testing.assert_array_equal(fields, word & (1 << bits) - 1)


@pytest.mark.parametrize(("name", "bits"), [("binary", 1), ("ternary", 2), ("shift3", 3)])
def test_memory_holds_packed_codes(integer_network, name, bits):
    (folded,) = schedule(integer_network(GRU(3, 5), recipe=Recipe(name)), {"l.0": 6}).layers
    assert weight_widths(folded) == [bits] * 6
    memory = weight_memory(folded)
    Fragment.get(memory, None)  # used
    assert memory.shape.width == 6 * bits
    for word, packed in zip(weight_words(folded), memory.init, strict=True):
        for lane, weight in enumerate(word):
            code = packed >> bits * lane & (1 << bits) - 1
            if weight:  # rows that do not exist have weights of zero
                exponent = code >> 1 if name != "ternary" else 0
                assert (-1 if code & 1 else 1) << exponent == weight


def test_the_paths_of_a_lane_decide_its_width(integer_network):
    recipe = Recipe("int4", paths={"l.0.z.h": {"weights": "int9"}})
    (folded,) = schedule(integer_network(GRU(3, 4), recipe=recipe), {"l.0": 6}).layers
    assert weight_widths(folded) == [4, 9, 4, 4, 9, 4]
    recipe = Recipe(
        "ternary", paths={"*.z.h": {"weights": "int9"}, "*.n_x.x": {"weights": "shift2"}}
    )
    (folded,) = schedule(integer_network(GRU(3, 4), recipe=recipe), {"l.0": 6}).layers
    assert weight_widths(folded) == [2, 9, 3, 2, 9, 3]


def test_absent_products_need_no_code(integer_network):
    """In the stage before the reset gate's products, n has weights for the input alone."""
    recipe = Recipe("binary")
    (folded,) = schedule(integer_network(ResetBeforeGRU(3, 4), recipe=recipe), {"l.0": 4}).layers
    assert weight_widths(folded) == [1] * 4
