"""Time from a quantized model to Verilog text."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import deltaloom as dl

from .figures import Figure, machine
from .networks import Shape, quantized, white_noise
from .stopwatch import Stopwatch

__all__ = ["figures", "measure"]

SHAPE = Shape("LSTM", 128, 128, 64)
RUNS = 3
REACH = 10.0


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Three runs in one process; processor's seconds are compared, as the machine may be busy."""
    model = quantized(SHAPE, white_noise(20, SHAPE.inputs))
    seconds = []
    for _ in range(RUNS):
        watch = Stopwatch()
        size = len(dl.generate(model, lanes=SHAPE.lanes).verilog)
        seconds.append(watch.seconds)
        progress(f"{SHAPE}: {seconds[-1]['computed']:.1f} s, {seconds[-1]['passed']:.1f} s passed")
    shape = asdict(SHAPE)
    return {"machine": machine(), **shape, "seconds": seconds, "characters": size}


def figures(result: dict[str, Any]) -> list[Figure]:
    best = min(seconds["computed"] for seconds in result["seconds"])
    what = f"generate, {SHAPE}, quantized model to Verilog, processor time"
    return [Figure(what, f"under {REACH:.0f} s", f"{best:.1f} s", best < REACH)]
