"""After synthesis: the netlist that goes on the chip, register packing included, equals its model.

The netlist is taken from the flow itself, its hard blocks are replaced by their simulation models,
and CXXRTL runs it with the same vectors as the description: outputs, markers and cycles.
"""

# amaranth: UnusedElaboratable=no

import json

import numpy as np
import pytest
from amaranth.back import rtlil

from deltaloom.boards import flow
from deltaloom.boards.budget import target_of
from deltaloom.boards.catalogue import get
from deltaloom.boards.models import ECP5_MODELS
from deltaloom.boards.tools import run_tool
from deltaloom.compiler.cells import GRU, LSTM, ConvLSTM, Linear
from deltaloom.compiler.network import (
    Concatenate,
    Embedding,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
)
from deltaloom.compiler.quantize import quantize
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
    "ConvLSTM": ([ConvLSTM(1, 2, (2, 3), 2)], {"l.0": 3}, Recipe(skip="delta")),
}
TABLE = np.random.default_rng(0).normal(size=(70, 2))


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


@pytest.fixture
def check_netlist(make_run, build_design, check_run, tmp_path):
    """Hold a network's netlist for a board to its models; returns the cells of the netlist."""

    def check(network, lanes, board):
        simulator = None
        for stall in (0.0, 0.5):
            case = make_run(network, lanes, target=target_of(board), stall=stall)
            if simulator is None:
                design, ports = build_design(case)
                module, text = netlist(case, design, board, tmp_path)
                simulator = cxxrtl.build(text, ports)
            check_run(case, simulator)
        return list(module["cells"].values())

    return check


@pytest.mark.slow
def test_a_graph_that_forks_and_joins_equals_its_model(random_layer, check_netlist):
    layers = (
        Embedding("words", TABLE),
        Window("w", 3, padding=(1, 1), sources=("words",)),
        random_layer("a", Linear(6, 2)),
        Sum("sum", sources=("a", "words")),
        Reverse("back", 8, sources=("sum",)),
        Concatenate("both", sources=("words", "back")),
        Pool("mean", "mean", 8, sources=("both",)),
        Pool("largest", "max", sources=("both",)),
        Concatenate("pooled", sources=("mean", "largest")),
    )
    x = np.random.default_rng(1).integers(0, 70, (3, 8, 1))
    network = quantize(Network(layers), x, Recipe(skip="delta"))
    cells = check_netlist(network, 6, get(BOARDS["ecp5"]))
    assert "DP16KD" in [cell["type"] for cell in cells]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("LSTM", "ecp5"),
        ("GRU", "ecp5"),
        ("encodings", "ecp5"),
        ("GRU", "ice40"),
        ("ConvLSTM", "ecp5"),
    ],
)
def test_equals_its_model(integer_network, check_netlist, name, family):
    designed, lanes, recipe = DESIGNS[name]
    network = integer_network(*designed, recipe=recipe)
    cells = check_netlist(network, lanes, get(BOARDS[family]))
    kinds = [cell["type"] for cell in cells]
    if family == "ecp5":
        blocks = [cell for cell in cells if cell["type"] == "MULT18X18D"]
        assert blocks
        assert all(c["parameters"]["REG_OUTPUT_CLK"] == "CLK0" for c in blocks)
        assert "DP16KD" in kinds
    else:
        assert "SB_RAM40_4K" in kinds
        assert "SB_MAC16" in kinds
