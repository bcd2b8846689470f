import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.bench import digits_ptq
from deltaloom.bench.data import Clips, SpokenDigits
from deltaloom.examples.digits import DigitClassifier


def clips(count, seed):
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(rng.integers(3, 9), 13)).astype(np.float32) for _ in range(count)]
    return Clips(features, rng.integers(0, 10, count))


@pytest.fixture
def data():
    return SpokenDigits(clips(20, 0), clips(10, 1), clips(12, 2))


def test_every_cell_and_the_sweep(data, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")

    def untrained(cell, seed, data):
        torch.manual_seed(seed)
        return DigitClassifier(5, cell.lower()).eval()

    monkeypatch.setattr(digits_ptq.digits, "load", lambda: data)
    monkeypatch.setattr(digits_ptq, "float_model", untrained)
    monkeypatch.setattr(digits_ptq, "MEASURED", ("GRU", "LiGRU"))
    monkeypatch.setattr(digits_ptq, "SEEDS", range(2))
    monkeypatch.setattr(digits_ptq, "WIDTHS", [8, 12])
    monkeypatch.setattr(digits_ptq, "MAX_LOSS", 60.0)
    monkeypatch.setattr(digits_ptq, "PICTURE", tmp_path / "sweep.svg")
    result = digits_ptq.measure(lambda text: None)
    assert [(row["cell"], row["seed"]) for row in result["rows"]] == [
        ("GRU", 0), ("GRU", 1), ("LiGRU", 0), ("LiGRU", 1),
    ]  # fmt: skip
    assert (tmp_path / "sweep.svg").stat().st_size > 1000
    for row in result["rows"]:
        assert row["validation"]["skipped"] <= row["validation"]["float"] + 60
    rows = digits_ptq.figures(result)
    assert len(rows) == 2 * 3 + 1
    assert {row.reach for row in rows} == {"", "at most 60.0"}


def test_error_rate(data):
    torch.manual_seed(0)
    model = dl.quantize(DigitClassifier(5), data.train.features)
    wrong = np.mean(np.argmax(model(data.test.features), axis=1) != data.test.labels)
    assert digits_ptq.error_rate(data.test)(model) == pytest.approx(100 * wrong)


def test_points_lost_are_means_over_seeds(monkeypatch):
    monkeypatch.setattr(digits_ptq, "MEASURED", ("LiGRU",))
    rows = [
        {
            "cell": "LiGRU",
            "seed": seed,
            "test": {"float": 1.0, "W8A8": 1.0, "W4A4": 3.0, "skipped": skipped},
            "paths": paths,
        }
        for seed, skipped, paths in [(0, 1.5, ["ligru.0.h activations"]), (1, 1.0, [])]
    ]
    sweep = {
        "chosen": {"weights": "int3", "activations": "int4"},
        "bytes": 25,
        "float_bytes": 100,
        "test": 1.5,
        "float_test": 1.0,
    }
    wide, narrow, skipped, swept = digits_ptq.figures(
        {"clips": 300, "rows": rows, "sweeps": [sweep]}
    )
    assert wide.met is narrow.met is swept.met is None
    assert skipped.met is True
    assert skipped.measured == (
        "0.25 (0.00 to 0.50); 98.75 (98.50 to 99.00) % right of 300 clips, float 99.00 (99.00 to "
        "99.00) %; at 16 bits: ligru.0.h activations 1 times"
    )
    assert swept.measured == (
        "75.00 (75.00 to 75.00) % less memory, 0.50 (0.50 to 0.50) points lost on the test part "
        "(weights/activations int3/int4)"
    )
