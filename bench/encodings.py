"""What a lane takes on an ECP5 and an iCE40UP5K by its weights' encoding: synthesis alone."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import deltaloom as dl
from deltaloom.boards import catalogue, flow
from deltaloom.boards.budget import target_of
from deltaloom.compiler import artifact
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.lanes import Lanes

from .figures import Figure
from .networks import Shape, quantized, white_noise

__all__ = ["ENCODINGS", "figures", "measure"]

FOLDER = Path(__file__).parents[1] / "build" / "bench"
SHAPES = {
    "ulx3s_85f": (Shape("GRU", 64, 64, 16), Shape("LSTM", 64, 64, 16)),
    "icebreaker": (Shape("GRU", 64, 64, 16),),
}
SHIFTS = ("binary", "ternary", "quaternary", "shift3", "shift4")
SHARED = ("int2", "int3", "int4")
ENCODINGS = (*SHIFTS, *SHARED, "int8")


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """8-bit activations, delta skipping; the lanes alone, all registers and sums included.

    An iCE40UP5K leaves its eight multipliers to the gate pipeline: its lanes take none.
    """
    cases = [
        measure_case(board, shape, weights, progress)
        for board, shapes in SHAPES.items()
        for shape in shapes
        for weights in ENCODINGS
    ]
    return {"activations": 8, "cases": cases}


def measure_case(
    board: str, shape: Shape, weights: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    progress(f"{shape}, {weights}, {board}")
    recipe = dl.Recipe(weights, skip="delta")
    network = quantized(shape, white_noise(20, shape.inputs), recipe).network
    known = catalogue.get(board)
    (folded,) = schedule(network, shape.lanes, target_of(known)).layers
    folder = FOLDER / f"lanes-{shape.cell}-{shape.hidden}-{shape.lanes}-{weights}-{board}".lower()
    cells = flow.synthesise(Lanes(folded), known, folder)
    return {
        **asdict(shape),
        "board": board,
        "weights": weights,
        "weight_bytes": artifact.model_bytes(network).weights,
        "accumulator_bits": folded.accumulator_width,
        "cells": {kind: count for kind, count in asdict(cells).items() if count},
    }


def wanted_multipliers(weights: str, lanes: int) -> int:
    """The multiplier blocks that an encoding is to take at the most."""
    return 0 if weights in SHIFTS else -(-lanes // 2) if weights in SHARED else lanes


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        shape = Shape(case["cell"], case["inputs"], case["hidden"], case["lanes"])
        found = case["cells"].get("multipliers", 0)
        wanted = wanted_multipliers(case["weights"], shape.lanes)
        a_lane = (
            f"{case['cells'].get(kind, 0) / shape.lanes:.1f} {name}"
            for kind, name in (
                ("luts", "LUT4"),
                ("carries", "carry cells"),
                ("flip_flops", "flip-flops"),
            )
        )
        rows.append(
            Figure(
                f"multiplier blocks of {shape}, {case['weights']} weights, {case['board']}",
                f"{wanted}",
                f"{found} ({', '.join(a_lane)} a lane; {case['weight_bytes']:,} bytes of weights)",
                found <= wanted,
            )
        )
    return rows
