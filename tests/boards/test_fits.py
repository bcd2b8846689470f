import re

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory

from deltaloom.boards.catalogue import get
from deltaloom.boards.fits import Need, block_rams, check_cells, check_fits
from deltaloom.boards.report import Cells
from deltaloom.boards.tools import run_tool
from deltaloom.compiler.errors import DoesNotFitError

ECP5, ICE40 = get("ulx3s_85f"), get("icebreaker")


@pytest.mark.parametrize(
    ("width", "depth", "ecp5", "ice40"),
    [
        (36, 512, 1, 5),
        (18, 1024, 1, 5),
        (9, 2048, 1, 5),
        (64, 512, 2, 8),
        (1, 1, 1, 1),
        (0, 100, 0, 0),
        (8, 600, 1, 2),
        (37, 513, 3, 9),
    ],
)
def test_block_rams(width, depth, ecp5, ice40):
    assert block_rams(width, depth, ECP5) == ecp5
    assert block_rams(width, depth, ICE40) == ice40


def test_fits():
    check_fits(Need(multipliers=156, luts=83_640, memories=((36, 512),) * 208), ECP5)


@pytest.mark.parametrize(
    ("need", "sentence"),
    [
        (
            Need(memories=((16, 256),) * 41),
            "Board icebreaker has 30 block RAMs, design needs 41: "
            "fewer lanes, narrower weights or a larger board",
        ),
        (
            Need(multipliers=16, luts=5_300),
            "Board icebreaker has 8 multipliers, design needs 16: fewer lanes or a larger board",
        ),
        (
            Need(luts=6_000),
            "Board icebreaker has 5,280 logic cells, design needs 6,000: "
            "fewer lanes or a larger board",
        ),
    ],
)
def test_does_not_fit(need, sentence):
    with pytest.raises(DoesNotFitError, match=f"^{re.escape(sentence)}$"):
        check_fits(need, ICE40)


def test_cells_do_not_fit():
    with pytest.raises(DoesNotFitError, match=r"has 0 single-port RAMs, design needs 1"):
        check_cells(Cells(single_port_rams=1), ECP5)


@pytest.mark.slow
@pytest.mark.parametrize("board", [ECP5, ICE40], ids=lambda board: board.family)
def test_as_yosys_maps(board, tmp_path):
    """One memory of every shape, each with its own ports, in one run of Yosys."""
    shapes = [(w, d) for w in (4, 8, 9, 16, 18, 27, 36, 64) for d in (200, 256, 512, 700, 1024)]
    m = Module()
    ports = []
    for width, depth in shapes:
        name = f"memory_{width}_{depth}"
        memory = Memory(shape=width, depth=depth, init=[], attrs={"ram_style": "block"})
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        for port, fields in ((write, ("addr", "data", "en")), (read, ("addr",))):
            for field in fields:
                target = getattr(port, field)
                source = Signal(target.shape(), name=f"{name}_{len(ports)}")
                ports.append(source)
                m.d.comb += target.eq(source)
        result = Signal(width, name=f"{name}_out")
        ports.append(result)
        m.d.comb += [result.eq(read.data), read.en.eq(1)]
    (tmp_path / "top.il").write_text(rtlil.convert(m, name="top", ports=ports, emit_src=False))
    command = {"ecp5": "synth_ecp5", "ice40": "synth_ice40"}[board.family]
    script = f"read_rtlil top.il; {command} -top top -run begin:map_ffram; "
    script += "tee -o cells.txt select -list t:DP16KD t:*RAM4K* t:SB_RAM40*"
    run_tool("yosys", ["-p", script], tmp_path)
    cells = (tmp_path / "cells.txt").read_text().splitlines()
    used = {}
    for width, depth in shapes:
        name = f"memory_{width}_{depth}"
        used[width, depth] = sum(f"{name}." in cell for cell in cells)
    for (width, depth), count in used.items():
        needed = block_rams(width, depth, board)
        if board.family == "ice40" and depth == 700:  # Yosys may mix geometries and save some
            assert 0.6 * needed <= count <= needed
        else:
            assert count == needed, (width, depth)
