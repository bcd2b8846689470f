"""Lane utilization in the RTL, steady state: share of the lanes' cycles that multiply a column."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

import deltaloom as dl

from .figures import Figure
from .networks import Shape, densities, quantized, search, slow_signal, steady_step, white_noise

__all__ = ["figures", "measure"]

SHAPES = (Shape("LSTM", 64, 64, 16), Shape("LSTM", 128, 128, 64), Shape("GRU", 256, 256, 96))
TIMESTEPS = 80
THETA = 8
DENSITY = 0.10
REACH = {"dense": 0.99, "sparse": 0.97}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Every case in a simulator of the Verilog, which is held to golden and cycle model."""
    cases = []
    for shape in SHAPES:
        for kind in (_dense, _sparse):
            case, model, x = kind(shape)
            progress(f"{shape}, list density {case['list_density']:.3f}")
            cases.append(asdict(shape) | case | _run(shape, model, x))
    return {"timesteps": TIMESTEPS, "cases": cases}


def _dense(shape: Shape) -> tuple[dict[str, Any], dl.QuantizedModel, np.ndarray]:
    x = white_noise(TIMESTEPS, shape.inputs)
    model = quantized(shape, x)
    return {"kind": "dense", "skip": "none", **_lists(shape, model, x)}, model, x


def _sparse(shape: Shape) -> tuple[dict[str, Any], dl.QuantizedModel, np.ndarray]:
    calibration = slow_signal(TIMESTEPS, shape.inputs, 0.05)
    model = quantized(shape, calibration, dl.Recipe(skip="delta", theta=THETA))

    def density(speed: float) -> float:
        x = slow_signal(TIMESTEPS, shape.inputs, speed)
        return _lists(shape, model, x)["list_density"]

    speed = search(density, DENSITY, 0.005, 0.5)
    x = slow_signal(TIMESTEPS, shape.inputs, speed)
    case = {"kind": "sparse", "skip": "delta", "theta": THETA, "speed": speed}
    return case | _lists(shape, model, x), model, x


def _lists(shape: Shape, model: dl.QuantizedModel, x: np.ndarray) -> dict[str, float]:
    """Share of columns that are multiplied, by operand and of both lists together."""
    (found,) = densities(model, x).values()
    listed = shape.inputs * found["x"] + shape.hidden * found["h"]
    return {
        "x_density": found["x"],
        "h_density": found["h"],
        "list_density": listed / (shape.inputs + shape.hidden),
    }


def _run(shape: Shape, model: dl.QuantizedModel, x: np.ndarray) -> dict[str, Any]:
    run = dl.generate(model, lanes=shape.lanes).simulate(x)
    (used,) = run.utilization.values()
    return {
        "utilization": used,
        "cycles_a_step": steady_step(run.step_cycles),
        "simulator": run.simulator,
        "equal_outputs": int(np.size(run.integers)),
        "equal_cycles": run.total_cycles,
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        shape = Shape(case["cell"], case["inputs"], case["hidden"], case["lanes"])
        used, reach = case["utilization"], REACH[case["kind"]]
        rows.append(
            Figure(
                f"lane utilization, {shape}, list density {case['list_density']:.3f}",
                f"{reach:.2f}",
                f"{used:.3f}",
                used >= reach,
            )
        )
    outputs = sum(case["equal_outputs"] for case in result["cases"])
    cycles = sum(case["equal_cycles"] for case in result["cases"])
    equal = f"equal: {outputs:,} outputs in {cycles:,} cycles of these runs"
    return [*rows, Figure("cycle model against RTL", "equal, always", equal, True)]
