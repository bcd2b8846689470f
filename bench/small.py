"""Small networks in clock cycles a timestep, on the cases of two published accelerators.

EdgeDRNN's (Gao et al. 2020) is two GRU layers of 16 units with 8 inputs on 12 multipliers,
elasticAI.creator's an LSTM of 20 units with one input.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

import deltaloom as dl
from deltaloom.sim import cycles
from deltaloom.sim.layer_golden import LayerTrace

from .figures import Figure
from .networks import Shape, densities, quantized, search, slow_signal, steady_step, white_noise

__all__ = ["columns", "drawn_steps", "figures", "measure"]

TIMESTEPS = 240
GRU = Shape("GRU", 8, 16, 12, layers=2)
LSTM = Shape("LSTM", 1, 20, 4)
COLUMNS = 2
THETA = 4
REACH = {"dense": 260, "sparse": 45, "lstm": 425}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Each case in a simulator, which is held to golden and cycle model."""
    progress(f"{GRU}, dense")
    x = white_noise(TIMESTEPS, GRU.inputs)
    dense = _run(GRU, quantized(GRU, x), x)

    progress(f"{GRU}, {COLUMNS} columns a layer")
    signal = slow_signal(TIMESTEPS, GRU.inputs, 0.02)
    model = quantized(GRU, signal, dl.Recipe(skip="delta", theta=THETA))

    def mean_columns(speed: float) -> float:
        x = slow_signal(TIMESTEPS, GRU.inputs, speed)
        return float(np.mean(list(columns(model, densities(model, x)).values())))

    speed = search(mean_columns, COLUMNS, 0.002, 0.2)
    x = slow_signal(TIMESTEPS, GRU.inputs, speed)
    found = columns(model, densities(model, x))
    sparse = {"theta": THETA, "speed": speed, "columns": found, **_run(GRU, model, x)}

    progress(f"{LSTM}, dense")
    x = white_noise(TIMESTEPS, LSTM.inputs)
    lstm = _run(LSTM, quantized(LSTM, x), x)
    return {
        "timesteps": TIMESTEPS,
        "gru": asdict(GRU) | {"dense": dense, "sparse": sparse, "drawn": drawn_steps(model)},
        "lstm": asdict(LSTM) | {"dense": lstm},
    }


def _run(shape: Shape, model: dl.QuantizedModel, x: np.ndarray) -> dict[str, Any]:
    run = dl.generate(model, lanes=shape.lanes).simulate(x)
    return {"cycles_a_step": steady_step(run.step_cycles), "simulator": run.simulator}


def columns(model: dl.QuantizedModel, densities: dict[str, dict[str, float]]) -> dict[str, float]:
    """Columns a timestep of each layer, given the share of each operand's that are multiplied."""
    return {
        layer.name: sum(densities[layer.name][o.name] * o.size for o in layer.operands)
        for layer in model.network.computing
    }


def drawn_steps(model: dl.QuantizedModel) -> float:
    """Cycles a timestep in the cycle model with exactly one column of each operand, at random."""
    rng = np.random.default_rng(0)
    traces = {}
    for layer in model.network.computing:
        fired = {o.name: np.zeros((1, TIMESTEPS, o.size), dtype=bool) for o in layer.operands}
        for listed in fired.values():
            chosen = rng.integers(listed.shape[2], size=TIMESTEPS)
            listed[0, np.arange(TIMESTEPS), chosen] = True
        traces[layer.name] = LayerTrace(fired, {})
    folded = dl.generate(model, lanes=GRU.lanes).schedule
    run = cycles.predict(model.network, folded, traces, [TIMESTEPS])
    return steady_step(run.delivered[GRU.hidden - 1 :: GRU.hidden][np.newaxis])


def figures(result: dict[str, Any]) -> list[Figure]:
    gru, lstm = result["gru"], result["lstm"]["dense"]["cycles_a_step"]
    dense, sparse = gru["dense"]["cycles_a_step"], gru["sparse"]["cycles_a_step"]
    mean = np.mean(list(gru["sparse"]["columns"].values()))
    drawn = f"exactly {COLUMNS} in every layer and step: {gru['drawn']:.1f}"
    return [
        Figure(
            f"cycles a step, {GRU}, dense (EdgeDRNN: 348)",
            f"{REACH['dense']}",
            f"{dense:.1f}",
            dense <= REACH["dense"],
        ),
        Figure(
            f"cycles a step, {GRU}, {mean:.2f} columns a layer (EdgeDRNN: 110)",
            f"{REACH['sparse']}",
            f"{sparse:.1f} ({drawn})",
            sparse <= REACH["sparse"],
        ),
        Figure(
            f"cycles a step, {LSTM} (elasticAI.creator: 890)",
            f"{REACH['lstm']}",
            f"{lstm:.1f}",
            lstm <= REACH["lstm"],
        ),
    ]
