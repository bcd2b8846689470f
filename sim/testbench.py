"""The cocotb testbench that ships with every design: it needs nothing of Deltaloom to run.

``run.py`` and ``test_design.py`` are ``cocotb_run.py`` and ``cocotb_test.py`` of this package as
they stand, with ``vectors.py``; what differs between designs is in ``vectors.npz``.
"""

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..compiler.errors import DeltaloomError, MismatchError, ToolMissingError
from . import tools
from .harness import harness
from .stimulus import Ports, Stimulus

__all__ = ["SIMULATORS", "Checked", "run", "write"]

SIMULATORS = ("verilator", "icarus")

_SHIPPED = {
    "cocotb_run.py": "run.py",
    "cocotb_test.py": "test_design.py",
    "vectors.py": "vectors.py",
}
_MAKEFILE = """# make SIM=verilator, make SIM=icarus: this design against its model, bit for bit.
SIM ?= verilator
PYTHON ?= python3

.PHONY: test clean
test:
\t$(PYTHON) run.py $(SIM)
clean:
\trm -rf sim_build
"""
_CLOCK_NS = 2


@dataclass(frozen=True)
class Checked:
    """What a testbench run found equal: its tests, clock cycles simulated, seconds of running."""

    simulator: str
    tests: tuple[str, ...]
    cycles: int
    seconds: float


def write(
    folder: Path,
    verilog: str,
    ports: Ports,
    stimulus: Stimulus,
    *,
    data: np.ndarray,
    last: np.ndarray,
    user: np.ndarray,
    delivered: np.ndarray | None = None,
    answered: np.ndarray | None = None,
    top: str = "top",
) -> None:
    """Write the testbench of the design in ``folder / verilog``.

    Parameters
    ----------
    folder : Path
        Where the design lies and the testbench goes.
    verilog : str
        Name of the design's file.
    ports : Ports
        Widths of its data ports.
    stimulus : Stimulus
        What it is fed with.
    data, last, user : int64 (m,), bool (m,), bool (m,)
        The output beats that the model says.
    delivered : int64 (m,), optional
        The cycles in which they transfer.
    answered : int64 (k,), optional
        The cycles in which the stimulus' transactions are answered.
    top : str
        Name of its top module.
    """
    stimulus.check(ports)
    expected = {"data": data, "last": last, "user": user, "delivered": delivered}
    arrays: dict[str, np.ndarray] = {}
    for name, value in expected.items():
        if value is None:
            continue
        kind = np.bool_ if name in ("last", "user") else np.int64
        arrays[f"expected_{name}"] = np.asarray(value, kind)
        if arrays[f"expected_{name}"].shape != (stimulus.outputs,):
            raise ValueError(
                f"Expected {name} must have shape ({stimulus.outputs},), not {np.shape(value)}"
            )
    requests = stimulus.transactions
    if requests is not None:
        arrays |= {"transactions": requests.table(), "expected_read": requests.answers}
        if answered is not None:
            arrays["expected_answered"] = np.asarray(answered, np.int64)
    for name in ("data", "last", "gaps", "stalls"):
        if getattr(stimulus, name) is not None:
            arrays[name] = getattr(stimulus, name)
    # At least one cycle for each beat: half of that is in mid-run whatever the design does.
    beats = max(stimulus.data.size, stimulus.outputs)
    scalars = {
        "outputs": stimulus.outputs,
        "idle": stimulus.idle,
        "limit": stimulus.limit,
        "input_bits": ports.input_bits,
        "output_bits": ports.output_bits,
        "break_off": beats // 2,
    }
    arrays |= {name: np.array(value) for name, value in scalars.items()}

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "vectors.npz", allow_pickle=False, verilog=np.array(verilog), **arrays
    )
    text = harness(ports, stimulus.data.size, stimulus.outputs, len(requests or ()), top=top)
    (folder / "harness.v").write_text(text)
    (folder / "Makefile").write_text(_MAKEFILE)
    for source, target in _SHIPPED.items():
        (folder / target).write_text((Path(__file__).parent / source).read_text())


def run(folder: Path, simulator: str) -> Checked:
    """Run the testbench in ``folder`` with ``"verilator"`` or ``"icarus"``.

    What differs from the model is a MismatchError, a missing program a ToolMissingError.
    """
    if simulator not in SIMULATORS:
        raise ValueError(
            f"Testbench simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}"
        )
    tools.require(simulator)
    if importlib.util.find_spec("cocotb") is None:
        raise ToolMissingError("cocotb is not installed: pip install 'deltaloom[sim]' brings it")
    results = Path(folder) / "sim_build" / simulator / "results.xml"
    results.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "run.py", simulator], cwd=folder, capture_output=True, text=True
    )
    cases = list(ElementTree.parse(results).iter("testcase")) if results.exists() else []
    for case in cases:
        for fault in (*case.iter("failure"), *case.iter("error")):
            reason = (fault.get("message") or fault.get("error_msg") or "failed").split("\n")[0]
            raise MismatchError(f"{case.get('name')} in {simulator}: {reason}")
    if done.returncode or not cases:
        reason = tools.complaint(done.stderr, done.stdout)
        raise DeltaloomError(f"The testbench does not run in {simulator}: {reason}")
    times = [
        float(item.get("value", 0))
        for case in cases
        for item in case.iter("property")
        if item.get("name") == "sim_time_duration"
    ]
    return Checked(
        simulator=simulator,
        tests=tuple(case.get("name", "") for case in cases),
        cycles=int(sum(times) / _CLOCK_NS),
        seconds=sum(float(case.get("time", 0)) for case in cases),
    )
