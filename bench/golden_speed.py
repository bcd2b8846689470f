"""Speed of the golden model beside torch's float LSTM, on one thread, in the same process.

Seconds are those that the process computed, so other work on the machine matters little.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from deltaloom.sim import golden

from .figures import Figure, machine
from .networks import Shape, quantized, white_noise
from .single_thread import best_seconds, run_alone

__all__ = ["figures", "measure", "numpy_lstm"]

HIDDEN = 128
SHAPE = Shape("LSTM", HIDDEN, HIDDEN, 1)
LARGE = {"batch": 256, "timesteps": 100}
SMALL = {"batch": 1, "timesteps": 2000}
ROUNDS = 15
REACH = {"ratio": 0.3, "single": 10_000}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Runs in a process of its own, whose libraries see that they have one thread."""
    progress(f"LSTM-{HIDDEN}, batch {LARGE['batch']} and 1, {ROUNDS} rounds")
    return run_alone(__name__)


def numpy_lstm(x: np.ndarray, w: np.ndarray, u: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """An LSTM in float64 with a product and a line or two a step; (time, features) in.

    What NumPy's calls alone cost: no formats, no tables, no saturation. The logistic function is
    the one of tanh(x / 2), whose half is in the weights.
    """
    size = u.shape[0]
    h, c = np.zeros(size), np.zeros(size)
    ahead = x @ w + bias
    outputs = np.empty((len(x), size))
    for time_step, row in enumerate(ahead):
        gates = np.tanh(row + h @ u)
        i, f, o = 0.5 * gates[: 3 * size].reshape(3, size) + 0.5
        c = f * c + i * gates[3 * size :]
        h = o * np.tanh(c)
        outputs[time_step] = h
    return outputs


def _measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = torch.nn.LSTM(HIDDEN, HIDDEN, batch_first=True).eval()
    result: dict[str, Any] = {"machine": machine(), "rounds": ROUNDS}
    rng = np.random.default_rng(0)
    w, u = (rng.uniform(-0.09, 0.09, (HIDDEN, 4 * HIDDEN)) for _ in range(2))
    for name, case in (("large", LARGE), ("small", SMALL)):
        x = white_noise(case["timesteps"], HIDDEN, case["batch"])
        model = quantized(SHAPE, x[:1])
        integers = model.quantize_input(x)
        floats = torch.from_numpy(x).float()
        runs: dict[str, Callable[[], object]] = {
            "golden": lambda model=model, integers=integers: golden.run(model.network, integers),
            "torch": lambda floats=floats: layer(floats),
        }
        if case["batch"] == 1:
            runs["numpy"] = lambda x=x: numpy_lstm(x[0], w, u, np.zeros(4 * HIDDEN))
        steps = case["batch"] * case["timesteps"]
        result[name] = case | {"steps_a_second": _rates(runs, steps)}
    return result


def _rates(runs: dict[str, Callable[[], object]], steps: int) -> dict[str, float]:
    """Timesteps a second of each."""
    with torch.inference_mode():
        best = best_seconds(runs, ROUNDS)
    return {name: steps / seconds for name, seconds in best.items()}


def figures(result: dict[str, Any]) -> list[Figure]:
    large, small = (result[name]["steps_a_second"] for name in ("large", "small"))
    ratio = large["golden"] / large["torch"]
    return [
        Figure(
            f"golden model, LSTM-{HIDDEN}, batch {LARGE['batch']}, against torch's float LSTM",
            f"{REACH['ratio']} times",
            f"{ratio:.2f} times ({large['golden']:,.0f} of {large['torch']:,.0f} timesteps a s)",
            ratio >= REACH["ratio"],
        ),
        Figure(
            f"golden model, LSTM-{HIDDEN}, batch 1, timesteps a second of processor time",
            f"{REACH['single']:,}",
            f"{small['golden']:,.0f} (bare NumPy {small['numpy']:,.0f}, "
            f"torch {small['torch']:,.0f})",
            small["golden"] >= REACH["single"],
        ),
    ]


if __name__ == "__main__":
    print(json.dumps(_measure()))
