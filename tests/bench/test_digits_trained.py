import numpy as np
import torch

import deltaloom as dl
from deltaloom.bench import digits_trained
from deltaloom.bench.data import Clips, SpokenDigits
from deltaloom.examples.digits import DigitClassifier


def clips(count, seed):
    """Two classes that the first feature tells apart, of different lengths."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    features = [rng.normal(size=(rng.integers(3, 9), 13)).astype(np.float32) for _ in labels]
    for clip, label in zip(features, labels, strict=True):
        clip[:, 0] += 4 * label - 2
    return Clips(features, labels)


def test_fine_tuning_learns():
    data = SpokenDigits(clips(60, 0), clips(20, 1), clips(20, 2))
    torch.manual_seed(0)
    model = DigitClassifier(6)
    recipe = dl.Recipe("ternary", "int4", skip="delta")
    tuning = digits_trained.FineTuning(epochs=15, batch_size=10, learning_rate=2e-2)
    quantized = digits_trained.fine_tuned(model, data, recipe, tuning)
    assert digits_trained.correct(quantized, data.test) >= 18


def test_share_of_products():
    """A linear layer whose input stays after the first timestep: one column of four is used."""
    torch.manual_seed(0)
    x = np.ones((1, 4, 3), np.float32)
    quantized = dl.quantize(torch.nn.Linear(3, 2), x, dl.Recipe(skip="delta"))
    assert digits_trained.kept(quantized, Clips([x[0]], np.zeros(1))) == 1 / 4


def test_figures():
    rows = [
        {"name": "W2A4", "before": {"test": 90, "kept": 1.0}, "after": {"test": 97, "kept": 1.0}},
        {"name": "other", "before": {"test": 90, "kept": 0.5}, "after": {"test": 98, "kept": 0.25}},
    ]
    asked, other = digits_trained.figures({"clips": 100, "float": 99, "rows": rows})
    assert asked.measured == "97.00 % of 100 clips (not trained 90.00 %, float 99.00 %)"
    assert asked.met is False
    assert other.measured.endswith("float 99.00 %), 25.0% of products")
    assert other.met is None
