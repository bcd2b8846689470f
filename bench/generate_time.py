"""Time from a quantized model to Verilog text."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import deltaloom as dl

from .figures import Figure, machine
from .networks import Shape, quantized, white_noise

__all__ = ["figures", "measure"]

SHAPE = Shape("LSTM", 128, 128, 64)
RUNS = 3
REACH = 10.0


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """The fastest of three runs in one process, and the first one."""
    model = quantized(SHAPE, white_noise(20, SHAPE.inputs))
    seconds = []
    for _ in range(RUNS):
        before = time.perf_counter()
        size = len(dl.generate(model, lanes=SHAPE.lanes).verilog)
        seconds.append(time.perf_counter() - before)
        progress(f"{SHAPE}: {seconds[-1]:.1f} s")
    shape = asdict(SHAPE)
    return {"machine": machine(), **shape, "seconds": seconds, "characters": size}


def figures(result: dict[str, Any]) -> list[Figure]:
    first, best = result["seconds"][0], min(result["seconds"])
    return [
        Figure(
            f"generate, {SHAPE}, quantized model to Verilog",
            f"under {REACH:.0f} s",
            f"{best:.1f} s ({first:.1f} s the first time)",
            best < REACH,
        )
    ]
