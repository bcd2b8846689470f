"""Clock cycles a second of every simulator that is installed, on one design, driver included.

Speeds are by the processor's time, so other work on the machine matters little; seconds that
passed are in the result as well.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deltaloom as dl
from deltaloom.sim import cycles, golden, result, testbench, tools
from deltaloom.sim.stimulus import Stimulus

from .figures import Figure, machine
from .networks import Shape, quantized, white_noise
from .stopwatch import Stopwatch

__all__ = ["figures", "measure"]

SHAPE = Shape("LSTM", 64, 64, 16)
TIMESTEPS = {"pysim": 4, "cxxrtl": 500, "verilator": 1000, "icarus": 20}
REACH = {"simulate": 1_000_000, "cocotb": 100_000, "second": 2.0}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Builds in an empty cache, runs, and starts a second time in a new process."""
    model = quantized(SHAPE, white_noise(20, SHAPE.inputs))
    design = dl.generate(model, lanes=SHAPE.lanes)
    found: dict[str, Any] = {"machine": machine(), "rtlil_characters": len(design.rtlil)}
    with tempfile.TemporaryDirectory() as folder, _cache(Path(folder, "cache")):
        for name in tools.available():
            found[name] = _speed(design, name)
            progress(f"{name}: {found[name]['cycles_a_second']:,.0f} cycles a second")
            if name in ("cxxrtl", "verilator"):
                found[name]["second_start"] = _second_start(model, name, Path(folder))
                progress(f"{name}: starts again in {found[name]['second_start']}")
        written = design.write(Path(folder, "design"))
        checked = testbench.run(written / "testbench", "verilator")
        rate = checked.cycles / checked.seconds
        found["cocotb_verilator"] = {"cycles": checked.cycles, "cycles_a_second": rate}
        progress(f"cocotb, verilator: {rate:,.0f} cycles a second")
    return found


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Simulators are built anew, in ``folder``."""
    before = os.environ.get("DELTALOOM_CACHE")
    os.environ["DELTALOOM_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["DELTALOOM_CACHE"]
        if before is not None:
            os.environ["DELTALOOM_CACHE"] = before


def _speed(design: dl.Design, name: str) -> dict[str, Any]:
    network = design.model.network
    x = white_noise(TIMESTEPS[name], SHAPE.inputs)
    sequences = design.model.quantize_input(x)
    expected = golden.run(network, sequences, trace=True)
    predicted = cycles.predict(network, design.schedule, expected.traces, [len(x[0])])
    stimulus: Stimulus = result.stimulus_of(sequences, expected.outputs)
    _ = design.rtlil if name == "cxxrtl" else design.verilog  # the text is no part of the build
    watch = Stopwatch()
    device = design.device(name)
    if name in ("cxxrtl", "verilator"):
        device.build()
    build = watch.seconds
    watch = Stopwatch()
    capture = device.run(stimulus)
    run = watch.seconds
    result.compare(capture, expected.outputs, predicted, name)
    rate = capture.cycles / run["computed"]
    return {"build": build, "cycles": capture.cycles, "run": run, "cycles_a_second": rate}


def _second_start(model: dl.QuantizedModel, name: str, folder: Path) -> dict[str, float]:
    """Seconds from a saved model to a simulated timestep where the simulator is in the cache."""
    path = folder / "model.safetensors"
    model.save(path)
    program = (
        "import json, sys, deltaloom as dl\n"
        "from deltaloom.bench.networks import white_noise\n"
        "from deltaloom.bench.stopwatch import Stopwatch\n"
        "path, name, lanes = sys.argv[1:]\n"
        "watch = Stopwatch()\n"
        "model = dl.load(path)\n"
        "x = white_noise(1, model.network.input_size)\n"
        "dl.generate(model, lanes=int(lanes)).simulate(x, name)\n"
        "print(json.dumps(watch.seconds))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, name, str(SHAPE.lanes)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def figures(result: dict[str, Any]) -> list[Figure]:
    speeds = {name: result[name] for name in TIMESTEPS if name in result}
    best = max(speeds, key=lambda name: speeds[name]["cycles_a_second"])
    rate = speeds[best]["cycles_a_second"]
    others = ", ".join(
        f"{name} {found['cycles_a_second']:,.0f} after {found['build']['computed']:.0f} s of build"
        for name, found in speeds.items()
    )
    second = max(
        found["second_start"]["computed"] for found in speeds.values() if "second_start" in found
    )
    rows = [
        Figure(
            f"simulate, {SHAPE}, clock cycles a second of processor time",
            f"{REACH['simulate']:,}",
            f"{rate:,.0f} with {best} ({others})",
            rate >= REACH["simulate"],
        ),
        Figure(
            f"simulate, {SHAPE}, built before: model file to first timestep, processor time",
            f"within {REACH['second']:.0f} s",
            f"{second:.1f} s",
            second <= REACH["second"],
        ),
    ]
    rate = result["cocotb_verilator"]["cycles_a_second"]
    what = f"cocotb testbench on Verilator, {SHAPE}, clock cycles a second"
    reached = rate >= REACH["cocotb"]
    return [*rows, Figure(what, f"{REACH['cocotb']:,}", f"{rate:,.0f}", reached)]
