"""A training step in integer arithmetic beside one of torch's float layer, on one thread.

A step is forward pass, backward pass and optimizer. Seconds are those that the process computed.
"""

import json
from collections.abc import Callable
from typing import Any

import torch

import deltaloom as dl

from .figures import Figure, machine
from .single_thread import best_seconds, run_alone

__all__ = ["figures", "measure"]

BATCH, TIMESTEPS, HIDDEN = 64, 50, 128
ROUNDS = 15
REACH = 6
CASES = {
    "LSTM": ("none", 0),
    "LSTM, delta, threshold 4": ("delta", 4),
    "GRU": ("none", 0),
}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Runs in a process of its own, whose libraries see that they have one thread."""
    progress(f"{len(CASES)} layers of {HIDDEN} units, batch {BATCH}, {ROUNDS} rounds")
    return run_alone(__name__)


def training_step(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """One step that pulls the outputs towards zero."""
    optimizer = torch.optim.Adam(module.parameters())

    def step() -> None:
        optimizer.zero_grad()
        module(x)[0].square().mean().backward()
        optimizer.step()

    return step


def _measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(BATCH, TIMESTEPS, HIDDEN)
    cases = []
    for name, (skip, theta) in CASES.items():
        layer = getattr(torch.nn, name.partition(",")[0])(HIDDEN, HIDDEN, batch_first=True)
        prepared = dl.prepare(layer, dl.Recipe(skip=skip, theta=theta), x[:4])
        runs = {"torch": training_step(layer, x), "prepared": training_step(prepared, x)}
        cases.append({"name": name, "seconds": best_seconds(runs, ROUNDS)})
    sizes = {"batch": BATCH, "timesteps": TIMESTEPS, "hidden": HIDDEN}
    return {"machine": machine(), "rounds": ROUNDS, **sizes, "cases": cases}


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        seconds = case["seconds"]
        ratio = seconds["prepared"] / seconds["torch"]
        asked = case["name"] == "LSTM"
        rows.append(
            Figure(
                f"training step in integers against torch's float one, {case['name']}, "
                f"{result['hidden']} units, batch {result['batch']}",
                f"at most {REACH} times" if asked else "",
                f"{ratio:.1f} times ({1e3 * seconds['prepared']:.0f} ms, float "
                f"{1e3 * seconds['torch']:.0f} ms, {result['timesteps']} timesteps)",
                ratio <= REACH if asked else None,
            )
        )
    return rows


if __name__ == "__main__":
    print(json.dumps(_measure()))
