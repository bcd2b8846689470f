"""Networks that are more than a chain of cells, on 16 lanes in all: cycles, utilization, cells."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import deltaloom as dl
from deltaloom.boards import catalogue, flow
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import ConvLSTM
from deltaloom.compiler.network import Layer, Network, parameter_shapes

from .cells import KINDS
from .figures import Figure
from .networks import slow_signal

__all__ = ["GRAPHS", "figures", "measure"]

FOLDER = Path(__file__).parents[1] / "build" / "bench"
BOARD = "ulx3s_85f"
SIZE, LANES, TIMESTEPS = 64, 16, 60
FRAME, CHANNELS, HIDDEN, FRAMES = (8, 8), 4, 16, 12
ENTRIES = 1000
SPEED, THETA = 0.05, 8


class Convolved(nn.Module):
    """Five timesteps at every second one, as a speech front end has it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(SIZE, SIZE, 5, stride=2, padding=2)
        self.rnn = nn.GRU(SIZE, SIZE, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shown = torch.relu(self.convolution(x.transpose(1, 2)).transpose(1, 2))
        outputs: torch.Tensor = self.rnn(shown)[0]
        return outputs


class Words(nn.Module):
    """A sequence of words to one of eight classes."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(ENTRIES, SIZE)
        self.rnn = nn.GRU(SIZE, SIZE, batch_first=True)
        self.head = nn.Linear(SIZE, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.rnn(self.words(x))[0].mean(1))
        return logits


def conv_lstm() -> Network:
    """A convolutional cell with weights uniform within the root of what a pixel sums."""
    graph = trace(ConvLSTM(CHANNELS, HIDDEN, FRAME, 3))
    rng, bound = np.random.default_rng(0), (9 * (CHANNELS + HIDDEN)) ** -0.5
    parameters = {
        name: rng.uniform(-bound, bound, shape) for name, shape in parameter_shapes(graph).items()
    }
    return Network((Layer("conv_lstm", "ConvLSTM", graph, parameters),))


def words() -> np.ndarray:
    """Several sequences, since the head works once in each."""
    return np.random.default_rng(0).integers(0, ENTRIES, (4, TIMESTEPS, 1))


def features() -> np.ndarray:
    return slow_signal(TIMESTEPS, SIZE, SPEED)


GRAPHS: Mapping[str, tuple[Callable[[], Any], Callable[[], np.ndarray]]] = {
    "ConvLSTM": (conv_lstm, lambda: slow_signal(FRAMES, CHANNELS * FRAME[0] * FRAME[1], SPEED)),
    "GRU, both directions": (
        lambda: nn.GRU(SIZE, SIZE, batch_first=True, bidirectional=True),
        features,
    ),
    "Conv1d of 5 timesteps at every second one, GRU": (Convolved, features),
    f"embedding of {ENTRIES:,} words, GRU, mean, linear": (Words, words),
}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Dense and with delta skipping, in RTL that is held to both models; the whole accelerator."""
    cases = []
    for name, (make, sample) in GRAPHS.items():
        progress(name)
        x = sample()
        dense, _ = _run(make, x, dl.Recipe())
        sparse, design = _run(make, x, dl.Recipe(skip="delta", theta=THETA))
        folder = FOLDER / f"graph-{''.join(c for c in name if c.isalnum())}".lower()
        cells = flow.synthesise(design.component(), catalogue.get(BOARD), folder)
        found = {kind: count for kind, count in asdict(cells).items() if count}
        cases.append({"graph": name, "dense": dense, "sparse": sparse, "cells": found})
    return {
        **{"size": SIZE, "lanes": LANES, "timesteps": TIMESTEPS, "theta": THETA, "board": BOARD},
        **{"frame": FRAME, "channels": CHANNELS, "hidden": HIDDEN, "frames": FRAMES},
        "cases": cases,
    }


def _run(
    make: Callable[[], Any], x: np.ndarray, recipe: dl.Recipe
) -> tuple[dict[str, Any], dl.Design]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make()
    model = module.eval() if isinstance(module, nn.Module) else module
    design = dl.generate(dl.quantize(model, x, recipe), board=BOARD, lanes=LANES)
    run = design.simulate(x)
    found = {
        "utilization": run.utilization,
        "cycles_a_step": float(run.cycles[0] / x.shape[1]),
        "skipped": run.skipped,
        "lanes": {layer.layer.name: layer.lanes for layer in design.schedule.layers},
        "simulator": run.simulator,
    }
    return found, design


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        parts = []
        for what in ("dense", "sparse"):
            run = case[what]
            used = ", ".join(
                f"{layer} {share:.3f} on {run['lanes'][layer]}"
                for layer, share in run["utilization"].items()
            )
            parts.append(f"{what} {run['cycles_a_step']:.0f} ({used})")
        cells = ", ".join(
            f"{case['cells'][kind]:,} {text}"
            for kind, text in KINDS.items()
            if kind in case["cells"]
        )
        what = f"{case['graph']}, {result['size']} features"
        if case["graph"] == "ConvLSTM":
            height, width = result["frame"]
            what = (
                f"ConvLSTM, 3x3, {result['channels']} to {result['hidden']} channels of "
                f"{height}x{width} pixels"
            )
        rows.append(
            Figure(
                f"{what}, {result['lanes']} lanes: cycles a timestep and utilization in the RTL",
                "",
                f"{'; '.join(parts)}; {cells}",
            )
        )
    return rows
