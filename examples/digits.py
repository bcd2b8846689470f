"""Trains a recurrent network on spoken digits: real speech for the demo and the benchmarks."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

import deltaloom as dl
from deltaloom.bench.data import Clips, SpokenDigits, spoken_digits
from deltaloom.compiler.written_aside import written_aside

__all__ = ["CELLS", "DigitClassifier", "Training", "accuracy", "load", "train"]

CACHE = Path(__file__).parents[1] / "build" / "data" / "digits"
FEATURES, DIGITS = 13, 10
CELLS = {"gru": nn.GRU, "lstm": nn.LSTM, "ligru": dl.nn.LiGRU, "sru": dl.nn.SRU}


class DigitClassifier(nn.Module):
    """A recurrent network whose last output a linear layer classifies.

    Takes (batch, time, 13) to logits (batch, 10). All sequences of a call have one length; there
    is no padding. The recurrent layers are the attribute that ``cell``, of :data:`CELLS`, names.
    """

    def __init__(self, hidden_size: int = 64, cell: str = "gru", layers: int = 1):
        super().__init__()
        self.cell = cell
        self.add_module(cell, CELLS[cell](FEATURES, hidden_size, layers, batch_first=True))
        self.head = nn.Linear(hidden_size, DIGITS)

    @property
    def recurrent(self) -> nn.Module:
        return getattr(self, self.cell)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.recurrent(x)
        return self.head(out[:, -1])


@dataclass(frozen=True)
class Training:
    """How the network is trained; equal settings and data give the same weights."""

    cell: str = "gru"
    layers: int = 1
    hidden_size: int = 64
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    dropout: float = 0.3
    noise: float = 0.2
    clip_norm: float = 1.0
    seed: int = 0


def load() -> SpokenDigits:
    """The data, normalised and split."""
    return spoken_digits()


def train(data: SpokenDigits, training: Training | None = None) -> DigitClassifier:
    """The trained network in evaluation mode, from the cache if it was trained before.

    Of all epochs the weights with the least validation loss are kept; the test part is not seen.
    """
    training = training or Training()
    path = CACHE / f"{_key(data, training)}.safetensors"
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        model = DigitClassifier(training.hidden_size, training.cell, training.layers)
        if path.is_file():
            safetensors.torch.load_model(model, path)
            return model.eval()
        torch.set_num_threads(1)  # the order of sums depends on the number of threads
        try:
            _fit(model, data, training)
        finally:
            torch.set_num_threads(threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path, "Trained model") as aside:
        safetensors.torch.save_model(model, str(aside))
    return model.eval()


def accuracy(model: nn.Module, clips: Clips) -> float:
    """Share of clips that a model of (batch, time, 13) labels correctly."""
    return float(np.mean(_logits(model, clips).argmax(axis=1).numpy() == clips.labels))


def _fit(model: DigitClassifier, data: SpokenDigits, training: Training) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    steps = training.epochs * -(-len(data.train) // training.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, steps)
    dropout = nn.Dropout(training.dropout)
    best, kept = float("inf"), {}
    name = f"{CELLS[training.cell].__name__}-{training.hidden_size}"
    description = f"Training {name} on {len(data.train)} spoken digits"
    epochs = range(training.epochs)
    for _ in track(epochs, description=description, console=Console(stderr=True)):
        for x, ends, labels in _batches(data.train, training.batch_size):
            x = x + training.noise * torch.randn_like(x)
            out, _ = model.recurrent(x)  # whose output does not depend on what follows
            last = out[torch.arange(len(x)), ends]
            loss = nn.functional.cross_entropy(model.head(dropout(last)), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
            optimizer.step()
            schedule.step()
        labels = torch.from_numpy(data.validation.labels)
        found = float(nn.functional.cross_entropy(_logits(model, data.validation), labels))
        if found < best:
            best, kept = found, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)


def _batches(clips: Clips, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Shuffled batches: clips padded at the end, each one's last timestep, labels."""
    for chosen in torch.randperm(len(clips)).split(size):
        features = [torch.from_numpy(clips.features[i]) for i in chosen]
        ends = torch.tensor([len(clip) - 1 for clip in features])
        x = nn.utils.rnn.pad_sequence(features, batch_first=True)
        yield x, ends, torch.from_numpy(clips.labels[chosen.numpy()])


@torch.no_grad()
def _logits(model: nn.Module, clips: Clips) -> torch.Tensor:
    """Logits (clips, 10), computed without padding: clips of one length at a time."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips.features):
        by_length[len(clip)].append(i)
    logits = torch.empty(len(clips), 10)
    for chosen in by_length.values():
        logits[chosen] = model(torch.from_numpy(np.stack([clips.features[i] for i in chosen])))
    return logits


def _key(data: SpokenDigits, training: Training) -> str:
    """Digest of everything that the weights depend on: settings, data and this program."""
    digest = hashlib.sha256(json.dumps(asdict(training), sort_keys=True).encode())
    digest.update(Path(__file__).read_bytes())
    for clips in (data.train, data.validation):
        digest.update(np.concatenate(clips.features).tobytes())
        digest.update(np.array([len(clip) for clip in clips.features]).tobytes())
        digest.update(clips.labels.tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    digits = load()
    classifier = train(digits)
    print(f"validation accuracy {accuracy(classifier, digits.validation):.2%}")
    print(f"test accuracy       {accuracy(classifier, digits.test):.2%}")
