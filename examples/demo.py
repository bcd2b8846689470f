"""The whole way once: a network trained on spoken digits becomes a bitstream, measured and proven.

``make demo``. Everything lies in ``build/demo`` afterwards; what is there and still good is not
made again.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import deltaloom as dl
from deltaloom.cli.display import (
    DONE,
    FAILED,
    Progress,
    by_layer,
    by_operand,
    complain,
    facts,
    plain,
)
from deltaloom.examples import digits

__all__ = ["main"]

FOLDER = Path(__file__).parents[1] / "build" / "demo"
BOARD = "ulx3s_85f"
LANES = {"gru.0": 24, "head": 1}  # eight units with their three gates each; the head is rarely busy
MEGAHERTZ = 80
CALIBRATION_CLIPS = 200
LARGEST_LOSS = 0.005  # of accuracy, from float to hardware


def run(progress: Progress) -> dict[str, Any]:
    """Every step; the figures."""
    data = digits.load()
    progress.say("Training, or finding the network trained")
    network = digits.train(data)
    progress.say("Quantizing to 8 bits")
    calibration = data.train.features[:CALIBRATION_CLIPS]
    model = dl.quantize(network, calibration, dl.Recipe(skip="delta"))
    progress.say(f"Generating Verilog with {sum(LANES.values())} lanes for {BOARD}")
    design = dl.generate(model, BOARD, LANES)
    design.write(FOLDER / "design")
    with ThreadPoolExecutor() as pool:  # one core builds the bitstream, the other one simulates
        building = pool.submit(design.build, frequency=MEGAHERTZ, progress=progress.step)
        clips, labels = data.test.features, data.test.labels
        progress.say(f"Simulating {len(clips)} clips that were not trained on")
        simulated = design.simulate(clips, progress=progress.say)
        progress.say(f"Regressing in {simulated.simulator}, with random stalls")
        check = design.regress([simulated.simulator], progress=progress.say)
        progress.say("Equal in every bit and cycle; waiting for the bitstream")
        report = building.result()
    return {
        "accuracy": {
            "float": digits.accuracy(network, data.test),
            "golden": model.accuracy(clips, labels),
            "hardware": float(np.mean(simulated.outputs.argmax(axis=1) == labels)),
        },
        "clips": len(clips),
        "timesteps": sum(map(len, clips)),
        "simulation": measured(simulated, sum(map(len, clips))),
        "regression": plain(check),
        "bytes": model.summary()["bytes"],
        "design": design.manifest(),
        "build": report.to_dict(),
    }


def measured(simulated: dl.Run, timesteps: int) -> dict[str, Any]:
    """What the simulation says, without its outputs."""
    return {
        "simulator": simulated.simulator,
        "cycles": simulated.total_cycles,
        "cycles_per_timestep": simulated.total_cycles / timesteps,
        "utilization": simulated.utilization,
        "skipped": simulated.skipped,
    }


def table(found: dict[str, Any]) -> Any:
    """The figures for people."""
    accuracy, simulation, build = found["accuracy"], found["simulation"], found["build"]
    cells, size = build["cells"], found["bytes"]
    microseconds = simulation["cycles_per_timestep"] / build["constraint"]
    stored = size["weights"] + size["biases"] + size["tables"]
    smaller = 1 - stored / size["float32"]
    check = found["regression"]
    return facts(
        f"GRU-64 on {found['clips']} real clips of spoken digits, {BOARD}, "
        f"{sum(LANES.values())} lanes",
        {
            "accuracy, float": f"{accuracy['float']:.2%}",
            "accuracy, golden model, 8 bits": f"{accuracy['golden']:.2%}",
            f"accuracy, hardware in {simulation['simulator']}": f"{accuracy['hardware']:.2%}",
            "equal in every bit and cycle": f"{simulation['cycles']:,} cycles of the clips, "
            f"{check['cycles']:,} of random sequences",
            "cycles a timestep": simulation["cycles_per_timestep"],
            "lane utilization": by_layer(simulation["utilization"]),
            "columns skipped": by_operand(simulation["skipped"]),
            "logic cells": f"{build['logic_cells']:,} ({cells['luts']:,} LUT4, "
            f"{cells['flip_flops']:,} flip-flops)",
            "multipliers": cells["multipliers"],
            "block RAMs": cells["block_rams"],
            "MHz reached": f"{build['mhz']:.1f}, clocked at {build['constraint']:.1f}",
            "microseconds a timestep": microseconds,
            "bytes of weights, biases and tables": f"{stored:,}, {smaller:.1%} less than "
            f"{size['float32']:,} in float32",
            "bitstream": os.path.relpath(build["bitstream"]),
        },
    )


def verdict(found: dict[str, Any]) -> str | None:
    """What falls short, if anything does."""
    loss = found["accuracy"]["float"] - found["accuracy"]["hardware"]
    if loss > LARGEST_LOSS:
        return f"Accuracy of the hardware is {loss:.2%} below float, more than {LARGEST_LOSS:.2%}"
    build = found["build"]
    if not build["met"]:
        return f"Clock reaches {build['mhz']:.1f} MHz, not {build['constraint']:.1f}"
    return None


def main() -> int:
    started = time.monotonic()
    try:
        with Progress() as progress:
            found = run(progress)
    except (dl.DeltaloomError, OSError) as error:
        return complain(error)[1]
    figures = FOLDER / "demo.json"
    figures.write_text(json.dumps(plain(found), indent=1) + "\n")
    Console().print(table(found))
    print(f"{time.monotonic() - started:.0f} seconds; figures in {os.path.relpath(figures)}")
    if shortfall := verdict(found):
        print(f"deltaloom: {shortfall}", file=sys.stderr)
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
