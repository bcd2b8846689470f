import numpy as np
import torch

import deltaloom as dl
from deltaloom.bench import delta_search
from deltaloom.bench.data import Clips, SpokenDigits


def clips(count, rng):
    features = [rng.normal(size=(n, 13)).astype(np.float32) for n in rng.integers(3, 9, count)]
    return Clips(features, rng.integers(0, 10, count))


def test_thresholds_are_not_chosen_on_the_test_part(monkeypatch):
    rng = np.random.default_rng(0)
    data = SpokenDigits(clips(20, rng), clips(8, rng), clips(9, rng))
    torch.manual_seed(0)
    model = delta_search.digits.DigitClassifier(hidden_size=5).eval()
    seen = []
    run = dl.QuantizedModel.quantize_input

    def noted(self, x, *others):
        seen.append(len(x))
        return run(self, x, *others)

    monkeypatch.setattr(dl.QuantizedModel, "quantize_input", noted)
    monkeypatch.setattr(delta_search, "float_model", lambda *_: model)
    monkeypatch.setattr(delta_search, "BUDGET", 5)
    monkeypatch.setattr(delta_search, "TRAINING_CLIPS", 4)
    monkeypatch.setattr(delta_search, "ALLOWED", 1.0)
    found = delta_search._digits("GRU", 0, data)
    assert 9 not in seen[:-2]
    assert seen[-2:] == [9, 9]  # accuracy and activity of the one that was chosen
    assert seen.count(12) >= found["measured"] == 5
    assert found["eliminated"] == found["activity"]["operations_eliminated"]


def test_figures():
    row = {"lost": 0.2, "eliminated": 0.81}
    rows = [{"cell": cell, "seed": 0, **row} for cell in delta_search.REACH]
    part = {"equal": 0.993, "activity": {"operations_eliminated": 0.76, "cycles_a_timestep": 9.0}}
    result = {
        "clips": 300,
        "rows": rows,
        "two_layers": {"seconds": 90.0, "measured": 400},
        "silero": {"frames": 1000, "exact": part, "chosen": part},
    }
    found = delta_search.figures(result)
    assert [figure.met for figure in found] == [True] * 5 + [False, True]
    rows[0]["lost"] = 0.6
    assert delta_search.figures(result)[0].met is False
    assert len(delta_search.figures({**result, "silero": {}})) == 5
