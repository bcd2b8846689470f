"""The random networks of the benchmarks and the signals they are fed with; all of it is seeded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import deltaloom as dl
from deltaloom.sim import golden

__all__ = [
    "Shape",
    "densities",
    "quantized",
    "search",
    "slow_signal",
    "steady_step",
    "white_noise",
]


@dataclass(frozen=True)
class Shape:
    """A recurrent network's sizes and the lanes it is folded on."""

    cell: str
    inputs: int
    hidden: int
    lanes: int
    layers: int = 1

    def __str__(self) -> str:
        stack = f"{self.layers} x " if self.layers > 1 else ""
        return f"{stack}{self.cell} {self.inputs}-{self.hidden} on {self.lanes} lanes"


def quantized(shape: Shape, x: np.ndarray, recipe: dl.Recipe | None = None) -> dl.QuantizedModel:
    """torch's layer with its own initialisation, uniform within 1/sqrt(hidden), quantized."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = getattr(torch.nn, shape.cell)
        model = layer(shape.inputs, shape.hidden, num_layers=shape.layers, batch_first=True)
    return dl.quantize(model, x, recipe)


def white_noise(timesteps: int, features: int, batch: int = 1) -> np.ndarray:
    """Uniform within one, float (batch, time, features): every element changes at every step."""
    return np.random.default_rng(0).uniform(-1, 1, (batch, timesteps, features))


def slow_signal(timesteps: int, features: int, speed: float) -> np.ndarray:
    """Each feature the mean of three sine waves, float (1, time, features).

    ``speed`` is the angle that the fastest wave turns in a timestep.
    """
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, (3, 1, features))
    speeds = speed * rng.uniform(0.2, 1, (3, 1, features))
    times = np.arange(timesteps)[:, np.newaxis]
    return np.sin(speeds * times + angles).mean(axis=0)[np.newaxis]


def densities(model: dl.QuantizedModel, x: np.ndarray) -> dict[str, dict[str, float]]:
    """By layer and operand: share of columns multiplied in the second half of the timesteps."""
    run = golden.run(model.network, model.quantize_input(x), trace=True)
    return {
        name: {
            operand: float(fired[:, fired.shape[1] // 2 :].mean())
            for operand, fired in trace.fired.items()
        }
        for name, trace in run.traces.items()
    }


def search(measure: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Point between ``low`` and ``high`` at which a roughly growing measure is nearest ``wanted``.

    Bisects on a logarithmic scale, twenty times.
    """
    best = (float("inf"), low)
    for _ in range(20):
        middle = float(np.sqrt(low * high))
        found = measure(middle)
        best = min(best, (abs(found - wanted), middle))
        low, high = (low, middle) if found > wanted else (middle, high)
    return best[1]


def steady_step(step_cycles: np.ndarray) -> float:
    """Cycles a timestep over the second half of the first sequence."""
    times = np.asarray(step_cycles)[0]
    half = len(times) // 2
    return float((times[-1] - times[half - 1]) / (len(times) - half))
