"""Verilator: slower to build than CXXRTL and faster to run, so the one for long runs.

Its C++ is compiled here, not by its makefiles: they need flags that the Python package lacks, and
its runtime is the same for every design, so it is compiled once and cached.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import cache, driver, tools
from .driver import Compiled
from .stimulus import Ports, Progress

__all__ = ["Verilated", "build"]

VERILATE = [
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-timing",
    "--no-assert",
    "--output-split",
    "20000",
    "--prefix",
    "Vdesign",
    "-Wno-fatal",
    "-Wno-lint",
]
FAST = ["-O2"]
SLOW = ["-O0"]
"""Code that runs once, initial contents of memories above all: compiling it well takes long."""
UNIT_BYTES = 200_000

_DEVICE = r"""
#include "Vdesign.h"
#include "verilated.h"
#if TRACE
#include "verilated_vcd_c.h"
#endif

struct Device {
    VerilatedContext context;
    Vdesign top{&context};
#if TRACE
    VerilatedVcdC vcd;
    uint64_t time = 0;
    ~Device() { vcd.close(); }
#endif

    Device(const char *path) {
        top.clk = 0;
#if TRACE
        context.traceEverOn(true);
        top.trace(&vcd, 99);
        vcd.open(path);
#endif
    }

    void eval() {
        top.eval();
#if TRACE
        vcd.dump(time++);
#endif
    }

    void drive(bool rst, bool valid, uint64_t data, bool last, bool ready) {
        top.rst = rst;
        top.s_axis_tvalid = valid;
        top.s_axis_tdata = data;
        top.s_axis_tlast = last;
        top.m_axis_tready = ready;
    }

#if REGISTERS
    void request(bool write, bool read, uint64_t address, uint64_t data) {
        top.s_axil_awvalid = top.s_axil_wvalid = write;
        top.s_axil_arvalid = read;
        top.s_axil_awaddr = top.s_axil_araddr = address;
        top.s_axil_wdata = data;
        top.s_axil_wstrb = 15;
        top.s_axil_bready = top.s_axil_rready = 1;
    }
    bool taken() const { return top.s_axil_awready || top.s_axil_arready; }
    bool confirmed() const { return top.s_axil_bvalid; }
    bool answered() const { return top.s_axil_rvalid; }
    bool failed() const { return confirmed() ? top.s_axil_bresp : top.s_axil_rresp; }
    uint64_t word() const { return top.s_axil_rdata; }
#endif

    void settle() {
        top.clk = 0;
        eval();
    }

    void edge() {
        top.clk = 1;
        eval();
    }

    bool ready() const { return top.s_axis_tready; }
    bool valid() const { return top.m_axis_tvalid; }
    bool last() const { return top.m_axis_tlast; }
    bool user() const { return top.m_axis_tuser; }
    uint64_t data() const { return top.m_axis_tdata; }
};
"""


class Verilated(Compiled):
    """A design compiled by Verilator.

    Parameters
    ----------
    source : str or callable
        The design in Verilog, or what makes it once a build needs it.
    ports : Ports
        Widths of its data ports.
    identity : str, optional
        Text that the Verilog follows from and that the cache knows the design by; left out, the
        Verilog itself.
    top : str
        Name of its top module.
    progress : callable, optional
        Told what a build is doing.
    """

    name = "verilator"

    def __init__(
        self,
        source: str | Callable[[], str],
        ports: Ports,
        *,
        identity: str | None = None,
        top: str = "top",
        progress: Progress | None = None,
    ) -> None:
        super().__init__(ports, progress)
        self._source = source
        self._identity = identity if identity is not None else self._text()
        self._top = top

    def _text(self) -> str:
        return self._source if isinstance(self._source, str) else self._source()

    def _key(self, trace: bool) -> tuple[str, ...]:
        version = tools.verilator().version
        return (self._identity, self._top, _DEVICE, *VERILATE, *FAST, *SLOW, version, tools.cxx())

    def _make(self, folder: Path, program: Path, trace: bool) -> None:
        verilator = tools.verilator()
        (folder / "design.v").write_text(self._text())
        self._progress("verilator: writing C++")
        options = [*VERILATE, *(["--trace"] if trace else []), "--top-module", self._top]
        tools.run(
            [verilator.program, *options, "--Mdir", folder, "design.v"],
            cwd=folder,
            env=verilator.environment,
            what="Verilator",
        )
        (folder / "driver.cpp").write_text(_DEVICE + driver.loop())
        self._progress(f"{tools.cxx()}: compiling")
        flags = [*_flags(verilator, trace), *driver.definitions(self._ports, trace), "-I", "."]
        sources = sorted(folder.glob("*.cpp"))
        slow = _joined(folder, "slow", [path for path in sources if "Slow" in path.stem])
        fast = _joined(folder, "fast", [path for path in sources if "Slow" not in path.stem])
        objects = _compile(
            folder, [*((path, FAST) for path in fast), *((path, SLOW) for path in slow)], flags
        )
        runtime = sorted(_runtime(verilator, trace).glob("*.o"))
        tools.run(
            [tools.cxx(), *objects, *runtime, "-pthread", "-o", program],
            cwd=folder,
            what="The C++ linker",
        )


def _flags(verilator: tools.Verilator, trace: bool) -> list[str]:
    include = verilator.root / "include"
    macros = {
        "VERILATOR": 1,
        "VM_COVERAGE": 0,
        "VM_SC": 0,
        "VM_TIMING": 0,
        "VM_TRACE": int(trace),
        "VM_TRACE_FST": 0,
        "VM_TRACE_SAIF": 0,
        "VM_TRACE_VCD": int(trace),
    }
    defines = [f"-D{name}={value}" for name, value in macros.items()]
    return ["-std=c++17", "-w", "-I", str(include), "-I", str(include / "vltstd"), *defines]


def _joined(folder: Path, name: str, sources: list[Path]) -> list[Path]:
    """Join small sources to units of about ``UNIT_BYTES``: every unit reads the long headers."""
    units: list[list[Path]] = []
    size = UNIT_BYTES
    for source in sources:
        if size >= UNIT_BYTES:
            units.append([])
            size = 0
        units[-1].append(source)
        size += source.stat().st_size
    paths = [folder / f"{name}{number}.cc" for number in range(len(units))]
    for path, unit in zip(paths, units, strict=True):
        path.write_text("".join(f'#include "{source}"\n' for source in unit))
    return paths


def _compile(folder: Path, units: list[tuple[Path, list[str]]], flags: list[str]) -> list[Path]:
    """Compile sources, each with its options, to object files in ``folder``; cores in parallel."""

    def one(unit: tuple[Path, list[str]]) -> Path:
        source, optimize = unit
        target = folder / f"{source.stem}.o"
        tools.run(
            [tools.cxx(), *optimize, *flags, "-c", source, "-o", target],
            cwd=folder,
            what="The C++ compiler",
        )
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, units))


def _runtime(verilator: tools.Verilator, trace: bool) -> Path:
    """Folder with Verilator's own runtime compiled."""
    flags = _flags(verilator, trace)
    names = ["verilated.cpp", "verilated_threads.cpp", *(["verilated_vcd_c.cpp"] if trace else [])]

    def make(folder: Path) -> None:
        include = verilator.root / "include"
        _compile(folder, [(include / name, FAST) for name in names], flags)

    return cache.entry("verilator runtime", verilator.version, tools.cxx(), *flags, *FAST).get(make)


def build(
    source: str, ports: Ports, *, top: str = "top", progress: Progress | None = None
) -> Verilated:
    """Build, or find in the cache, the simulator of a design in Verilog."""
    simulator = Verilated(source, ports, top=top, progress=progress)
    simulator.build()
    return simulator
