"""Accuracy on spoken digits: the trained GRU in float and in integers, over the held-out clips."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

import deltaloom as dl
from deltaloom.examples import digits

from .data import Clips
from .figures import Figure

__all__ = ["CALIBRATION_CLIPS", "correct", "figures", "measure"]

WIDTHS = ((8, 8), (6, 8), (4, 8), (8, 4), (4, 4), (3, 4))
CALIBRATION_CLIPS = 200
REACH = 0.5


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Quantized after training with every pair of widths; the golden model is the hardware's."""
    training = digits.Training()
    data = digits.load()
    model = digits.train(data, training)
    calibration = data.train.features[:CALIBRATION_CLIPS]
    parts = {"test": data.test, "validation": data.validation}
    floats = {
        name: round(digits.accuracy(model, clips) * len(clips)) for name, clips in parts.items()
    }
    rows = []
    for weights, activations in WIDTHS:
        recipe = dl.Recipe(weights=f"int{weights}", activations=f"int{activations}")
        quantized = dl.quantize(model, calibration, recipe)
        row = {"weights": weights, "activations": activations}
        row |= {name: correct(quantized, clips) for name, clips in parts.items()}
        progress(f"W{weights}A{activations}: {row['test']} of {len(data.test)} test clips")
        rows.append(row)
    clips = {name: len(part) for name, part in parts.items()}
    return {"training": asdict(training), "clips": clips, "float": floats, "quantized": rows}


def correct(model: dl.QuantizedModel, clips: Clips) -> int:
    """Number of clips that are labelled correctly."""
    logits = np.stack(model(clips.features))
    return int(np.sum(logits.argmax(axis=1) == clips.labels))


def figures(result: dict[str, Any]) -> list[Figure]:
    count, reference = result["clips"]["test"], result["float"]["test"]
    rows = []
    for row in result["quantized"]:
        widths = (row["weights"], row["activations"])
        lost = 100 * (reference - row["test"]) / count
        asked = widths == (8, 8)
        rows.append(
            Figure(
                f"points of accuracy lost, spoken digits, GRU-64, W{widths[0]}A{widths[1]}",
                f"at most {REACH}" if asked else "",
                f"{lost:.2f} ({100 * row['test'] / count:.2f} % of {count} clips, "
                f"float {100 * reference / count:.2f} %)",
                lost <= REACH if asked else None,
            )
        )
    return rows
