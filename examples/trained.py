"""Trains a small network in the integer arithmetic of its hardware: weights of two bits.

The task is to name the slower of two waves from their sum, one sample a timestep.
"""

import numpy as np
import torch
from torch import nn

import deltaloom as dl

__all__ = ["Listener", "main", "waves"]

TIMESTEPS = 40
CLASSES = 4


class Listener(nn.Module):
    """A GRU whose last output a linear layer classifies: (batch, time, 1) to (batch, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 16, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x)
        return self.head(out[:, -1])


def waves(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of two waves, (count, time, 1), and the class of the slower one, (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    speeds = np.stack([0.15 * (1 + labels), rng.uniform(0.9, 1.5, count)])
    angles = speeds[:, :, None] * np.arange(TIMESTEPS) + rng.uniform(0, 2 * np.pi, (2, count, 1))
    x = np.sin(angles).sum(axis=0) + 0.1 * rng.normal(size=(count, TIMESTEPS))
    return torch.from_numpy(x).float()[:, :, None], torch.from_numpy(labels)


def train(module: nn.Module, epochs: int, learning_rate: float) -> None:
    """The same for a module in float and for one that was prepared."""
    x, labels = waves(1024, seed=0)
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[part]), labels[part]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()


def main(epochs: int = 12) -> tuple[float, float, float]:
    """Accuracy in float, quantized after training, and trained in integers."""
    torch.manual_seed(0)
    x, labels = waves(512, seed=1)
    calibration, _ = waves(64, seed=2)

    model = Listener()
    train(model, epochs, 1e-2)
    float_accuracy = float((model(x).argmax(dim=1) == labels).float().mean())

    recipe = dl.Recipe(weights="int2", activations="int4", skip="delta")
    after_training = dl.quantize(model, calibration, recipe).accuracy(x, labels)

    prepared = dl.prepare(model, recipe, calibration)  # starts with the model's weights
    train(prepared, epochs, 2e-3)
    quantized = dl.quantize(prepared)  # gives what the module gives, bit for bit, as does hardware
    assert np.array_equal(quantized(x), prepared(x).detach().numpy())
    return float_accuracy, after_training, quantized.accuracy(x, labels)


if __name__ == "__main__":
    names = ("float", "quantized after training", "trained in integers")
    for name, accuracy in zip(names, main(), strict=True):
        print(f"{name:26}{accuracy:7.2%}")
