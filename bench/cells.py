"""Every cell on 16 lanes: cycles, utilization, and what its engine takes of an ECP5."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import deltaloom as dl
from deltaloom.boards import catalogue, flow
from deltaloom.compiler.integer_attention import IntegerAttention
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.attention import Attention
from deltaloom.hw.engine import Engine

from .figures import Figure
from .networks import slow_signal, steady_step, white_noise

__all__ = ["CELLS", "figures", "measure"]

FOLDER = Path(__file__).parents[1] / "build" / "bench"
BOARD = "ulx3s_85f"
SIZE, LANES, TIMESTEPS = 64, 16, 40
SPEED, THETA, KEPT = 0.05, 8, 8
FIXED = f"GRU, the {KEPT} largest differences of each vector"
CELLS: Mapping[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(SIZE, SIZE),
    "RNN": lambda: nn.RNN(SIZE, SIZE, batch_first=True),
    "LSTM": lambda: nn.LSTM(SIZE, SIZE, batch_first=True),
    "LSTM, projected to 32": lambda: nn.LSTM(SIZE, SIZE, proj_size=SIZE // 2, batch_first=True),
    "LSTM, peepholes": lambda: dl.nn.PeepholeLSTM(SIZE, SIZE, batch_first=True),
    "LSTM, coupled gates": lambda: dl.nn.CoupledLSTM(SIZE, SIZE, batch_first=True),
    "LSTM, LayerNorm": lambda: dl.nn.LayerNormLSTM(SIZE, SIZE, batch_first=True),
    "LSTM, LayerNorm by mean deviation": lambda: dl.nn.LayerNormLSTM(
        SIZE, SIZE, form="mad", batch_first=True
    ),
    "GRU": lambda: nn.GRU(SIZE, SIZE, batch_first=True),
    "GRU, reset before": lambda: dl.nn.ResetBeforeGRU(SIZE, SIZE, batch_first=True),
    "LiGRU": lambda: dl.nn.LiGRU(SIZE, SIZE, batch_first=True),
    "SRU": lambda: dl.nn.SRU(SIZE, SIZE, batch_first=True),
    FIXED: lambda: nn.GRU(SIZE, SIZE, batch_first=True),
    "attention, dot, to all timesteps so far": lambda: dl.nn.Attention(
        SIZE, SIZE, batch_first=True
    ),
    "attention, additive, to all timesteps so far": lambda: dl.nn.Attention(
        SIZE, SIZE, "additive", batch_first=True
    ),
}
KINDS = {"luts": "LUT4", "flip_flops": "flip-flops", "multipliers": "MULT18X18D"}
KINDS |= {"block_rams": "DP16KD"}


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Dense, and delta skipping on a slow signal: in RTL that is held to both models."""
    cases = []
    for name, make in CELLS.items():
        progress(name)
        dense = _run(make, white_noise(TIMESTEPS, SIZE), dl.Recipe())
        slow = slow_signal(TIMESTEPS, SIZE, SPEED)
        skipping = dl.Recipe(skip="delta", theta=THETA)
        if name == FIXED:
            skipping = dl.Recipe(skip="top_k", k=KEPT)
        sparse = _run(make, slow, skipping)
        model = _quantized(make, slow, skipping)
        folded = schedule(model.network, _lanes(model.network))
        attention = folded.attentions
        part = Attention(attention[0]) if attention else Engine(*folded.engines)
        folder = FOLDER / f"cell-{''.join(c for c in name if c.isalnum())}".lower()
        cells = flow.synthesise(part, catalogue.get(BOARD), folder)
        found = {kind: count for kind, count in asdict(cells).items() if count}
        cases.append({"cell": name, "dense": dense, "sparse": sparse, "cells": found})
    sizes = {
        "size": SIZE,
        "lanes": LANES,
        "timesteps": TIMESTEPS,
        "theta": THETA,
        "kept": KEPT,
        "board": BOARD,
    }
    return sizes | {"cases": cases}


def _quantized(make: Callable[[], nn.Module], x: np.ndarray, recipe: dl.Recipe) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dl.quantize(make().eval(), x, recipe)


def _measured(network: IntegerNetwork) -> str:
    """The layer that a case is about: attention, where there is any, or the only one."""
    kinds = [layer.name for layer in network.layers if isinstance(layer, IntegerAttention)]
    return kinds[0] if kinds else network.computing[0].name


def _lanes(network: IntegerNetwork) -> dict[str, int]:
    """Projections around attention have twice its lanes, so that they don't limit it."""
    measured = _measured(network)
    return {
        layer.name: LANES if layer.name == measured else 2 * LANES for layer in network.multiplying
    }


def _run(make: Callable[[], nn.Module], x: np.ndarray, recipe: dl.Recipe) -> dict[str, Any]:
    model = _quantized(make, x, recipe)
    run = dl.generate(model, lanes=_lanes(model.network)).simulate(x)
    name = _measured(model.network)
    return {
        "utilization": run.utilization[name],
        "cycles_a_step": steady_step(run.step_cycles),
        "skipped": run.skipped[name],
        "simulator": run.simulator,
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        dense, sparse = case["dense"], case["sparse"]
        skipped = ", ".join(f"{part:.0%} of {name}" for name, part in sparse["skipped"].items())
        cells = ", ".join(
            f"{case['cells'][kind]:,} {text}"
            for kind, text in KINDS.items()
            if kind in case["cells"]
        )
        rows.append(
            Figure(
                f"{case['cell']}, {result['size']} to {result['size']}, {result['lanes']} lanes: "
                f"cycles a timestep and utilization in the RTL",
                "",
                f"dense {dense['cycles_a_step']:.0f} at {dense['utilization']:.3f}; "
                f"{sparse['cycles_a_step']:.0f} at {sparse['utilization']:.3f} with {skipped} "
                f"skipped; {cells}",
            )
        )
    return rows
