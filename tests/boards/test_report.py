from deltaloom.boards.annotate import annotate
from deltaloom.boards.report import Cells, Report, count_cells, read_timing

# Two components: "lanes" with a multiplier and its table-driven carry, "drain" with a register.
RTLIL = r"""
attribute \src "/somewhere/else.py:1"
module \top.lanes
  attribute \src "/somewhere/else.py:2"
  wire width 1 \a
  attribute \ram_style "block"
  attribute \no_rw_check 1
  memory width 8 size 16 \kept
  memory width 8 size 16 \other
  cell $memrd_v2 $1
    parameter \MEMID "\\kept"
    parameter \TRANSPARENCY_MASK 2'01
    parameter \COLLISION_X_MASK 2'00
  end
  cell $memrd_v2 $2
    parameter \MEMID "\\other"
    parameter \TRANSPARENCY_MASK 1'0
    parameter \COLLISION_X_MASK 1'0
  end
end
"""


def cell(kind, source, **wires):
    outputs = ("Z", "Q", "P0", "COUT", "DOA0")
    return {
        "type": kind,
        "attributes": {"src": source} if source else {},
        "connections": {port: [bit] for port, bit in wires.items()},
        "port_directions": {p: "output" if p in outputs else "input" for p in wires},
    }


MODULE = {
    "cells": {
        "m": cell("MULT18X18D", "@top.lanes.mul|/share/dsp.v:1", A0=1, P0=2),
        "l0": cell("LUT4", None, A=2, Z=3),
        "l1": cell("LUT4", None, A=3, Z=4),
        "c": cell("CCU2C", "@top.lanes", A=4, COUT=5),
        "f": cell("TRELLIS_FF", "@top.drain", DI=5, Q=6),
        "s": cell("TRELLIS_FF", "@top.lanes.mul|@top.lanes.add", DI=5, Q=9),
        "l2": cell("LUT4", None, A=6, Z=7),
        "lanes.weights.0.0": cell("DP16KD", "/share/brams.v:1", DOA0=8),
        "loop0": cell("LUT4", None, A=11, Z=10),
        "loop1": cell("LUT4", None, A=10, Z=11),
        "drain": cell("$scopeinfo", None),
    }
}


def test_annotate():
    lines = annotate(RTLIL).splitlines()
    assert not any("somewhere" in line for line in lines)
    assert lines.count('attribute \\src "@top.lanes"') == 4
    masks = [line.split()[-1] for line in lines if "COLLISION" in line]
    assert masks == ["2'10", "1'0"]


def test_count_cells():
    total, components = count_cells(MODULE)
    assert total == Cells(luts=5, carries=1, flip_flops=2, multipliers=1, block_rams=1)
    assert components == {
        "drain": Cells(flip_flops=1),
        "lanes": Cells(luts=2, carries=1, flip_flops=1, multipliers=1, block_rams=1),
        "lanes.mul": Cells(multipliers=1),
        "lanes.weights": Cells(block_rams=1),
    }


def test_count_ice40_cells():
    kinds = ["SB_LUT4", "SB_CARRY", "SB_DFFSR", "SB_MAC16", "SB_RAM40_4KNR", "SB_SPRAM256KA"]
    cells = {f"c{k}": cell(kind, "@top") for k, kind in enumerate(kinds)}
    total, _ = count_cells({"cells": cells})
    assert total == Cells(1, 1, 1, 1, 1, 1, 0)


def test_timing():
    clocks = {
        "slow": {"achieved": 30.0, "constraint": 12.0},
        "fast": {"achieved": 90, "constraint": 80},
    }
    assert read_timing({"fmax": clocks}) == (90.0, 80.0)
    assert read_timing({"fmax": {}}) == (float("inf"), 0.0)


def test_as_plain_values():
    report = Report("b", Cells(1), {"x": Cells(2)}, 3, {"luts": 4}, 5.0, 6.0, False, 7)
    plain = report.to_dict()
    assert plain["components"]["x"]["luts"] == 2
    assert plain["met"] is False
