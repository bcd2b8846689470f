"""After synthesis: the netlist that goes on the chip, register packing included, equals its model.

The netlist is taken from the flow itself, its hard blocks are replaced by their simulation models,
and CXXRTL runs it with the same vectors as the description: outputs, markers and cycles.
"""

# amaranth: UnusedElaboratable=no

import json

import pytest
from amaranth.back import rtlil

from deltaloom.boards import flow
from deltaloom.boards.budget import target_of
from deltaloom.boards.catalogue import get
from deltaloom.boards.models import ECP5_MODELS
from deltaloom.boards.tools import run_tool
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import cxxrtl

BOARDS = {"ecp5": "ulx3s_85f", "ice40": "icebreaker"}
CELLS = {
    "ecp5": "read_verilog -overwrite +/lattice/cells_sim_ecp5.v; read_verilog -overwrite models.v",
    "ice40": "read_verilog -overwrite -D ICE40_U -D NO_ICE40_DEFAULT_ASSIGNMENTS "
    "+/ice40/cells_sim.v",
}
NARROW = {"weights": "int5", "activations": "int6", "elementwise": 8}
DESIGNS = {
    "LSTM": ([LSTM(2, 3), Linear(3, 2)], {"l.0": 6, "l.1": 2}, Recipe(skip="delta", theta=2)),
    "encodings": (
        [GRU(2, 3), Linear(3, 4)],
        {"l.0": 5, "l.1": 2},
        Recipe(
            "shift3",
            "int4",
            skip="delta",
            scale="real",
            paths={"l.0.z.*": {"weights": "ternary"}, "l.1.*": {"weights": "int3"}},
        ),
    ),
    "GRU": ([GRU(2, 5), "last"], {"l.0": 4}, Recipe(skip="delta", **NARROW)),
}


def netlist(case, design, board, folder):
    """RTLIL of the flow's netlist with simulation models in place of the device's blocks."""
    text = rtlil.convert(design, name="top", emit_src=False)
    flow._synthesise(board, folder, text, None)
    module = json.loads((folder / "top.json").read_text())["modules"]["top"]
    (folder / "models.v").write_text(ECP5_MODELS)
    script = (
        f"{CELLS[board.family]}; read_json top.json; delete t:$scopeinfo; hierarchy -top top; "
        "proc; flatten; opt_clean -purge; write_rtlil netlist.il"
    )
    run_tool("yosys", ["-p", script], folder)
    return module, (folder / "netlist.il").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "family"), [("LSTM", "ecp5"), ("GRU", "ecp5"), ("encodings", "ecp5"), ("GRU", "ice40")]
)
def test_equals_its_model(
    integer_network, make_run, build_design, check_run, tmp_path, name, family
):
    board = get(BOARDS[family])
    cells, lanes, recipe = DESIGNS[name]
    network = integer_network(*cells, recipe=recipe)
    simulator = None
    for stall in (0.0, 0.5):
        case = make_run(network, lanes, target=target_of(board), stall=stall)
        if simulator is None:
            design, ports = build_design(case)
            module, text = netlist(case, design, board, tmp_path)
            simulator = cxxrtl.build(text, ports)
        check_run(case, simulator)
    kinds = [cell["type"] for cell in module["cells"].values()]
    if family == "ecp5":
        blocks = [c for c in module["cells"].values() if c["type"] == "MULT18X18D"]
        assert blocks
        assert all(c["parameters"]["REG_OUTPUT_CLK"] == "CLK0" for c in blocks)
        assert "DP16KD" in kinds
    else:
        assert "SB_RAM40_4K" in kinds
        assert "SB_MAC16" in kinds
