"""Accuracy on spoken digits after training in integer arithmetic, and before it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

import deltaloom as dl
from deltaloom.examples import digits

from .data import Clips, SpokenDigits
from .digits import CALIBRATION_CLIPS, correct
from .figures import Figure

__all__ = ["figures", "fine_tuned", "measure"]

THETA = 8
RECIPES = {
    "W4A4": dl.Recipe("int4", "int4"),
    "W2A4": dl.Recipe("int2", "int4"),
    "W2A2": dl.Recipe("int2", "int2"),
    "ternary, A4": dl.Recipe("ternary", "int4"),
    "binary, A4": dl.Recipe("binary", "int4"),
    "shift3, A4": dl.Recipe("shift3", "int4"),
    f"W4A6, delta, threshold {THETA}": dl.Recipe(
        "int4", "int6", skip="delta", theta={"gru.0": {"x": THETA, "h": THETA}}
    ),
}
REACH = {"W4A4": 99.5, "W2A4": 97.9}


@dataclass(frozen=True)
class FineTuning:
    """How a trained network is trained on in integers."""

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    noise: float = 0.2
    clip_norm: float = 1.0
    seed: int = 0


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Starts from the float network of the demo; the test part chooses nothing."""
    tuning, training = FineTuning(), digits.Training()
    data = digits.load()
    model = digits.train(data, training)
    rows = []
    for name, recipe in RECIPES.items():
        before = dl.quantize(model, data.train.features[:CALIBRATION_CLIPS], recipe)
        after = fine_tuned(model, data, recipe, tuning)
        row: dict[str, Any] = {"name": name}
        for when, quantized in (("before", before), ("after", after)):
            row[when] = {"test": correct(quantized, data.test), "kept": kept(quantized, data.test)}
        progress(f"{name}: {row['before']['test']} to {row['after']['test']} of {len(data.test)}")
        rows.append(row)
    reference = round(digits.accuracy(model, data.test) * len(data.test))
    settings = {"training": asdict(training), "fine_tuning": asdict(tuning)}
    return {**settings, "clips": len(data.test), "float": reference, "rows": rows}


def fine_tuned(
    model: nn.Module, data: SpokenDigits, recipe: dl.Recipe, tuning: FineTuning
) -> dl.QuantizedModel:
    """The model trained in integers; of all epochs the one with the least validation loss."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on the number of threads
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(tuning.seed)
            prepared = dl.prepare(model, recipe, data.train.features[:CALIBRATION_CLIPS])
            _fit(prepared, data, tuning)
    finally:
        torch.set_num_threads(threads)
    return dl.quantize(prepared)


def _fit(prepared: nn.Module, data: SpokenDigits, tuning: FineTuning) -> None:
    optimizer = torch.optim.AdamW(
        prepared.parameters(), lr=tuning.learning_rate, weight_decay=tuning.weight_decay
    )
    steps = tuning.epochs * -(-len(data.train) // tuning.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.learning_rate, steps)
    best, found = float("inf"), {}
    for _ in range(tuning.epochs):
        for chosen in torch.randperm(len(data.train)).split(tuning.batch_size):
            clips = [torch.from_numpy(data.train.features[i]) for i in chosen]
            noisy = [clip + tuning.noise * torch.randn_like(clip) for clip in clips]
            labels = torch.from_numpy(data.train.labels[chosen.numpy()])
            loss = nn.functional.cross_entropy(prepared(noisy), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(prepared.parameters(), tuning.clip_norm)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            logits = prepared([torch.from_numpy(clip) for clip in data.validation.features])
            labels = torch.from_numpy(data.validation.labels)
            loss = float(nn.functional.cross_entropy(logits, labels))
        if loss < best:
            best, found = loss, {k: v.clone() for k, v in prepared.state_dict().items()}
    prepared.load_state_dict(found)


def kept(model: dl.QuantizedModel, clips: Clips) -> float:
    """Share of the operations that are not skipped."""
    return 1 - model.activity(clips.features).operations.eliminated


def figures(result: dict[str, Any]) -> list[Figure]:
    count, rows = result["clips"], []
    for row in result["rows"]:
        before, after = (100 * row[when]["test"] / count for when in ("before", "after"))
        reach = REACH.get(row["name"])
        skipped = f", {row['after']['kept']:.1%} of products" if row["after"]["kept"] < 0.9 else ""
        rows.append(
            Figure(
                f"accuracy on spoken digits, GRU-64, {row['name']}, trained in integers",
                f"{reach} %" if reach else "",
                f"{after:.2f} % of {count} clips (not trained {before:.2f} %, float "
                f"{100 * result['float'] / count:.2f} %){skipped}",
                after >= reach if reach else None,
            )
        )
    return rows
