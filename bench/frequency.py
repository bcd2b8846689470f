"""Clock frequency and cells after place and route, out of context; cells split by component."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import deltaloom as dl
from deltaloom.boards import catalogue, flow
from deltaloom.boards.budget import target_of
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.accelerator import Accelerator

from .figures import Figure
from .networks import Shape, quantized, white_noise

__all__ = ["figures", "measure", "outside_lanes"]

FOLDER = Path(__file__).parents[1] / "build" / "bench"
DELTA = {"skip": "delta"}
# No bit of block RAM is left for kept sums beside the weights: exact zero-skip, 12-bit gates.
SMALL = {"skip": "zero", "elementwise": 12}
CASES = (
    (Shape("LSTM", 64, 64, 16), "ulx3s_85f", DELTA, 110),
    (Shape("LSTM", 128, 128, 64), "ulx3s_85f", DELTA, 95),
    (Shape("LSTM", 32, 32, 8), "icebreaker", SMALL, 30),
)
TARGET = 1.1  # what place and route aims at, beside the reach: far goals take it very long
SEEDS = (1,)
SPLIT = (Shape("LSTM", 64, 64, 16), 1600)


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """8-bit weights. A design that does not fit is recorded with what limits it."""
    cases = []
    for shape, board, recipe, reach in CASES:
        progress(f"{shape}, {board}")
        model = quantized(shape, white_noise(20, shape.inputs), dl.Recipe(**recipe))
        case = {**asdict(shape), **recipe, "board": board, "reach": reach}
        try:
            cases.append(case | _route(model, shape, board, TARGET * reach, progress))
        except dl.DoesNotFitError as error:
            progress(str(error))
            cases.append(case | {"does_not_fit": str(error)})
    return {"weights": 8, "activations": 8, "cases": cases}


def _route(
    model: dl.QuantizedModel,
    shape: Shape,
    board: str,
    frequency: float,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    known = catalogue.get(board)
    folded = schedule(model.network, shape.lanes, target_of(known))
    report = flow.measure(
        Accelerator(model.network, folded),  # alone: a bridge takes a block RAM more
        known,
        FOLDER / f"{shape.cell}-{shape.inputs}-{shape.hidden}-{shape.lanes}-{board}".lower(),
        frequency=frequency,
        seeds=SEEDS,
        progress=lambda step, done: progress(f"{step} {'done' if done else 'runs'}"),
    )
    progress(f"{report.mhz:.1f} MHz")
    return {
        "mhz": report.mhz,
        "seeds": {str(seed): mhz for seed, mhz in report.seeds.items()},
        "logic_cells": report.logic_cells,
        "cells": asdict(report.cells),
        "packed": report.packed,
        "components": _engine(report.components),
    }


def _engine(components: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Cells of the first engine's parts by their names; kinds of which there are none left out."""
    found = {}
    for path, cells in components.items():
        levels = path.split(".")
        if len(levels) <= 2:
            name = levels[1] if len(levels) == 2 else "engine"
            found[name] = {kind: count for kind, count in asdict(cells).items() if count}
    return found


def outside_lanes(case: dict[str, Any]) -> int:
    """LUT4 of control, lists and gate pipeline: all but the lanes'.

    Look-up tables that serve as memory are distributed RAM cells, which are not in the total.
    """
    return case["cells"]["luts"] - case["components"]["lanes"].get("luts", 0)


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        shape = Shape(case["cell"], case["inputs"], case["hidden"], case["lanes"])
        what = f"MHz after place and route, {shape}, {case['skip']} skipping, {case['board']}"
        reach = f"{case['reach']}"
        if "does_not_fit" in case:
            rows.append(Figure(what, reach, f"does not fit: {case['does_not_fit']}", False))
            continue
        mhz, cells = case["mhz"], case["cells"]
        text = (
            f"{mhz:.1f} ({cells['luts']:,} LUT4, {cells['carries']:,} carry cells, "
            f"{cells['flip_flops']:,} flip-flops, {cells['multipliers']} multipliers, "
            f"{cells['block_rams']} block RAMs)"
        )
        rows.append(Figure(what, reach, text, mhz >= case["reach"]))
        if shape == SPLIT[0]:
            luts = outside_lanes(case)
            what = f"LUT4 outside the lanes and memories, {shape}"
            carries = cells["carries"] - case["components"]["lanes"].get("carries", 0)
            text = f"{luts:,} (and {carries:,} carry cells)"
            rows.append(Figure(what, f"under {SPLIT[1]:,}", text, luts < SPLIT[1]))
    return rows
