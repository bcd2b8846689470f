"""Spoken digits, trained on in integer arithmetic from float weights; each result is kept.

What is interrupted goes on where it was: a training that is done is found by its settings.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import deltaloom as dl
from deltaloom.examples import digits
from deltaloom.training.prepared import Prepared

from .data import Clips, SpokenDigits
from .digits import CALIBRATION_CLIPS
from .digits_models import float_model

__all__ = ["FineTuning", "fine_tune", "tuned"]

JITTER = 6
"""Timesteps by which the lengths of clips may differ that would stand side by side."""

TEMPERATURE = 2.0
"""By which answers are softened before they are compared."""

FOLDER = digits.CACHE.parent / "digits_tuned"


@dataclass(frozen=True)
class FineTuning:
    """How a trained network is trained on in integers.

    Parameters
    ----------
    rise : float
        Share of the steps in which thresholds grow from nothing to those of the recipe.
    penalty : float
        Weight of the delta activity beside the loss.
    distillation : float
        Weight of the divergence from what the float network says of the same clips (Hinton et al.
        2015).
    stretch, offset : float
        Most by which a clip is made longer or shorter, as a share of it; standard deviation of
        what is added to a coefficient over a whole clip.
    """

    epochs: int = 16
    batch_size: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    noise: float = 0.2
    clip_norm: float = 1.0
    rise: float = 0.0
    penalty: float = 0.0
    distillation: float = 0.0
    stretch: float = 0.0
    offset: float = 0.0


def tuned(
    cell: str, seed: int, data: SpokenDigits, recipe: dl.Recipe, tuning: FineTuning
) -> dl.QuantizedModel:
    """The float model of a cell and seed, trained in integers; from the cache if it was before."""
    model = float_model(cell, seed, data)
    path = FOLDER / f"{cell}-{seed}-{_key(model, recipe, tuning)}.safetensors"
    if not path.is_file():
        found = fine_tune(model, data, recipe, tuning, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}.part")
        found.save(aside)
        os.replace(aside, path)
    return dl.load(path)


def fine_tune(
    model: nn.Module, data: SpokenDigits, recipe: dl.Recipe, tuning: FineTuning, seed: int
) -> dl.QuantizedModel:
    """The model trained in integers; of all epochs the one with the least validation loss.

    Only those count that had the recipe's thresholds; the test part is not seen.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on the number of threads
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            prepared = dl.prepare(model, recipe, data.train.features[:CALIBRATION_CLIPS])
            _fit(prepared, model, data, tuning)
    finally:
        torch.set_num_threads(threads)
    return dl.quantize(prepared)


def _fit(prepared: Prepared, teacher: nn.Module, data: SpokenDigits, tuning: FineTuning) -> None:
    optimizer = torch.optim.AdamW(
        prepared.parameters(), lr=tuning.learning_rate, weight_decay=tuning.weight_decay
    )
    steps = tuning.epochs * -(-len(data.train) // tuning.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.learning_rate, steps)
    wanted = prepared.recipe.theta
    best, found, step = float("inf"), {}, 0
    for _ in range(tuning.epochs):
        for chosen in _batches(data.train, tuning.batch_size):
            share = min(1.0, (step + 1) / max(tuning.rise * steps, 1))
            if tuning.rise:
                prepared.set_thresholds(_part(wanted, share))
            clips = [torch.from_numpy(data.train.features[i]) for i in chosen]
            noisy = [_varied(clip, tuning) for clip in clips]
            labels = torch.from_numpy(data.train.labels[chosen.numpy()])
            logits = prepared(noisy)
            loss = nn.functional.cross_entropy(logits, labels)
            if tuning.distillation:
                loss = loss + tuning.distillation * _divergence(logits, teacher, noisy)
            if tuning.penalty:
                loss = loss + tuning.penalty * prepared.delta_activity()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(prepared.parameters(), tuning.clip_norm)
            optimizer.step()
            schedule.step()
            step += 1
        loss = _loss(prepared, data.validation)
        if share == 1 and loss < best:
            best, found = loss, {k: v.clone() for k, v in prepared.state_dict().items()}
    prepared.load_state_dict(found)
    prepared.eval()


def _varied(clip: torch.Tensor, tuning: FineTuning) -> torch.Tensor:
    """A clip (time, features) as it might have been said and heard another time."""
    if tuning.stretch:
        factor = 1 + tuning.stretch * (2 * float(torch.rand(())) - 1)
        size = max(1, round(factor * len(clip)))
        clip = nn.functional.interpolate(clip.T[None], size, mode="linear")[0].T
    if tuning.offset:
        clip = clip + tuning.offset * torch.randn(clip.shape[1])
    return clip + tuning.noise * torch.randn_like(clip)


def _divergence(
    logits: torch.Tensor, teacher: nn.Module, clips: list[torch.Tensor]
) -> torch.Tensor:
    """Between softened answers, (batch, 10) and those of a float network."""
    x = nn.utils.rnn.pad_sequence(clips, batch_first=True)
    ends = torch.tensor([len(clip) - 1 for clip in clips])
    with torch.no_grad():
        out, _ = teacher.recurrent(x)
        wanted = (teacher.head(out[torch.arange(len(x)), ends]) / TEMPERATURE).softmax(dim=1)
    found = (logits / TEMPERATURE).log_softmax(dim=1)
    return TEMPERATURE**2 * nn.functional.kl_div(found, wanted, reduction="batchmean")


def _batches(clips: Clips, size: int) -> list[torch.Tensor]:
    """Clips of similar lengths together, so that little is computed behind their ends."""
    lengths = torch.tensor([len(clip) for clip in clips.features])
    parts = (lengths + JITTER * torch.rand(len(clips))).argsort().split(size)
    return [parts[i] for i in torch.randperm(len(parts))]


def _part(theta: dict[str, dict[str, int]], share: float) -> dict[str, dict[str, int]]:
    return {
        layer: {operand: round(share * value) for operand, value in operands.items()}
        for layer, operands in theta.items()
    }


@torch.no_grad()
def _loss(prepared: Prepared, clips: Clips) -> float:
    prepared.eval()
    logits = prepared([torch.from_numpy(clip) for clip in clips.features])
    prepared.train()
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(clips.labels)))


def _key(model: nn.Module, recipe: dl.Recipe, tuning: FineTuning) -> str:
    """Digest of all that the result depends on: float weights, settings and this program."""
    settings = json.dumps([asdict(recipe), asdict(tuning)], sort_keys=True)
    digest = hashlib.sha256(settings.encode() + Path(__file__).read_bytes())
    for values in model.state_dict().values():
        digest.update(np.ascontiguousarray(values.numpy()).tobytes())
    return digest.hexdigest()[:16]
