"""CXXRTL: Yosys turns a design into C++; quick to build, so the one for many small designs."""

from pathlib import Path

from . import driver, tools
from .driver import Compiled
from .stimulus import Ports, Progress

__all__ = ["Cxxrtl", "build"]

OPTIONS = ["-std=c++14", "-O3", "-w", "-DNDEBUG"]
"""Measured on an engine of 2,400 look-up tables: -O2 runs at 0.7 of its speed, -Os at 0.2."""

_DEVICE = r"""
#include "design.h"
#if TRACE
#include <cxxrtl/cxxrtl_vcd.h>
#include <fstream>
#endif

// Yosys evaluates a flattened design without combinational loops in one pass, clock edge included:
// then the outputs are read between evaluation and commit, and a cycle costs one pass, not two.
// A wave dump shows the clock, so it takes the two.
struct Device {
    cxxrtl_design::TOP top;
    bool single;
#if TRACE
    cxxrtl::vcd_writer vcd;
    std::ofstream file;
    uint64_t time = 0;

    void dump() {
        vcd.sample(time++);
        file << vcd.buffer;
        vcd.buffer.clear();
    }
#endif

    Device(const char *path) {
        single = top.eval() && !TRACE;
        top.commit();
#if TRACE
        cxxrtl::debug_items items;
        top.debug_info(&items, nullptr, "top ");
        vcd.timescale(1, "ns");
        vcd.add(items, [](const std::string &, const cxxrtl::debug_item &item) {
            return item.type != cxxrtl::debug_item::MEMORY;
        });
        file.open(path);
#endif
    }

    void drive(bool rst, bool valid, uint64_t data, bool last, bool ready) {
        top.p_rst.set<uint8_t>(rst);
        top.p_s__axis__tvalid.set<uint8_t>(valid);
        top.p_s__axis__tdata.set<uint64_t>(data);
        top.p_s__axis__tlast.set<uint8_t>(last);
        top.p_m__axis__tready.set<uint8_t>(ready);
    }

#if REGISTERS
    void request(bool write, bool read, uint64_t address, uint64_t data) {
        top.p_s__axil__awvalid.set<uint8_t>(write);
        top.p_s__axil__wvalid.set<uint8_t>(write);
        top.p_s__axil__arvalid.set<uint8_t>(read);
        top.p_s__axil__awaddr.set<uint64_t>(address);
        top.p_s__axil__araddr.set<uint64_t>(address);
        top.p_s__axil__wdata.set<uint64_t>(data & 0xffffffff);
        top.p_s__axil__wstrb.set<uint8_t>(15);
        top.p_s__axil__bready.set<uint8_t>(1);
        top.p_s__axil__rready.set<uint8_t>(1);
    }
    bool taken() const {
        return read(top.p_s__axil__awready) || read(top.p_s__axil__arready);
    }
    bool confirmed() const { return read(top.p_s__axil__bvalid); }
    bool answered() const { return read(top.p_s__axil__rvalid); }
    bool failed() const {
        return confirmed() ? read(top.p_s__axil__bresp) : read(top.p_s__axil__rresp);
    }
    uint64_t word() const { return read(top.p_s__axil__rdata); }
#endif

    void settle() {
        if (single) {
            top.prev_p_clk.set<uint8_t>(0);
            top.p_clk.set<uint8_t>(1);
            top.eval();
        } else {
            top.p_clk.set<uint8_t>(0);
            top.step();
#if TRACE
            dump();
#endif
        }
    }

    void edge() {
        if (single) {
            top.commit();
        } else {
            top.p_clk.set<uint8_t>(1);
            top.step();
#if TRACE
            dump();
#endif
        }
    }

    template<size_t N> static uint64_t read(const cxxrtl::value<N> &port) {
        return port.template get<uint64_t>();
    }
    template<size_t N> static uint64_t read(const cxxrtl::wire<N> &port) {
        return port.template get<uint64_t>();
    }
    bool ready() const { return read(top.p_s__axis__tready); }
    bool valid() const { return read(top.p_m__axis__tvalid); }
    bool last() const { return read(top.p_m__axis__tlast); }
    bool user() const { return read(top.p_m__axis__tuser); }
    uint64_t data() const { return read(top.p_m__axis__tdata); }
};
"""


class Cxxrtl(Compiled):
    """A design compiled by CXXRTL.

    Parameters
    ----------
    source : str
        The design in RTLIL.
    ports : Ports
        Widths of its data ports.
    top : str
        Name of its top module.
    progress : callable, optional
        Told what a build is doing.
    """

    name = "cxxrtl"

    def __init__(
        self, source: str, ports: Ports, *, top: str = "top", progress: Progress | None = None
    ) -> None:
        super().__init__(ports, progress)
        self._source = source
        self._top = top

    def _key(self, trace: bool) -> tuple[str, ...]:
        return (self._source, self._top, _DEVICE, *OPTIONS, tools.yosys().version, tools.cxx())

    def _make(self, folder: Path, program: Path, trace: bool) -> None:
        yosys = tools.yosys()
        compiler = tools.cxx()
        (folder / "design.il").write_text(self._source)
        self._progress("yosys: writing C++")
        script = (
            f"read_rtlil design.il; hierarchy -top {self._top}; "
            f"write_cxxrtl -O6 -g{4 if trace else 0} design.h"
        )
        tools.run([*yosys.command, "-q", "-p", script], cwd=folder, what="Yosys")
        (folder / "driver.cpp").write_text(_DEVICE + driver.loop())
        self._progress(f"{compiler}: compiling")
        defines = [*driver.definitions(self._ports, trace), f"-DTOP=p_{_mangled(self._top)}"]
        tools.run(
            [compiler, *OPTIONS, *defines, "-I", yosys.headers, "driver.cpp", "-o", program],
            cwd=folder,
            what="The C++ compiler",
        )


def _mangled(name: str) -> str:
    """A Verilog name as CXXRTL writes it in C++."""
    kept = (
        c if c.isascii() and c.isalnum() else "__" if c == "_" else f"_{ord(c):x}_" for c in name
    )
    return "".join(kept)


def build(
    source: str, ports: Ports, *, top: str = "top", progress: Progress | None = None
) -> Cxxrtl:
    """Build, or find in the cache, the simulator of a design in RTLIL."""
    simulator = Cxxrtl(source, ports, top=top, progress=progress)
    simulator.build()
    return simulator
