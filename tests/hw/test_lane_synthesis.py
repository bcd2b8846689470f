"""What Yosys makes of lanes: which weights take multiplier blocks, and how many."""

# amaranth: UnusedElaboratable=no

import json

import pytest
from amaranth.back import rtlil

from deltaloom.boards.budget import lane_multipliers, target_of
from deltaloom.boards.catalogue import get
from deltaloom.boards.report import count_cells
from deltaloom.boards.tools import run_tool
from deltaloom.compiler.cells import GRU, LSTM, ReluRNN
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.engine import Engine
from deltaloom.hw.lanes import Lanes

BOARDS = {"ecp5": get("ulx3s_85f"), "ice40": get("icebreaker")}
SYNTHESIS = {"ecp5": "synth_ecp5", "ice40": "synth_ice40 -dsp"}


def folded(integer_network, cell, lanes, family, recipe):
    network = integer_network(cell, recipe=recipe)
    return schedule(network, {"l.0": lanes}, target_of(BOARDS[family])).layers[0]


def multipliers(component, family, folder):
    (folder / "top.il").write_text(rtlil.convert(component, name="top", emit_src=False))
    script = f"read_rtlil top.il; {SYNTHESIS[family]} -top top; write_json top.json"
    run_tool("yosys", ["-p", script], folder)
    module = json.loads((folder / "top.json").read_text())["modules"]["top"]
    return count_cells(module)[0].multipliers


@pytest.mark.slow
@pytest.mark.parametrize("family", BOARDS)
@pytest.mark.parametrize("weights", ["binary", "ternary", "quaternary", "shift3", "shift4"])
def test_shifting_weights_take_no_multiplier(integer_network, tmp_path, weights, family):
    """Nor does the rest of an engine whose equations have no product and no table."""
    layer = folded(integer_network, ReluRNN(3, 5), 3, family, Recipe(weights, skip="delta"))
    assert lane_multipliers(layer) == 0
    assert multipliers(Engine(layer), family, tmp_path) == 0


@pytest.mark.slow
def test_mixed_weights_take_a_multiplier_where_they_must(integer_network, tmp_path):
    recipe = Recipe("ternary", paths={"*.[zr].x": {"weights": "int8"}})
    layer = folded(integer_network, GRU(3, 6), 6, "ecp5", recipe)
    assert lane_multipliers(layer) == 4
    assert multipliers(Lanes(layer), "ecp5", tmp_path) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "activations", "expected"),
    [("int2", "int8", 4), ("int3", "int8", 4), ("int4", "int6", 4), ("int8", "int8", 8)],
)
def test_two_narrow_weights_share_a_multiplier(
    integer_network, tmp_path, weights, activations, expected
):
    recipe = Recipe(weights, activations, skip="delta")
    layer = folded(integer_network, LSTM(3, 6), 8, "ecp5", recipe)
    assert lane_multipliers(layer) == expected
    assert multipliers(Lanes(layer), "ecp5", tmp_path) == expected
