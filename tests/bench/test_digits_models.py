import numpy as np
import pytest

import deltaloom as dl
from deltaloom.bench import digits_models
from deltaloom.bench.data import Clips, SpokenDigits
from deltaloom.examples import digits


def clips(count, seed):
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(rng.integers(1, 9), 13)).astype(np.float32) for _ in range(count)]
    return Clips(features, rng.integers(0, 10, count))


@pytest.mark.parametrize("cell", digits_models.CELLS)
def test_one_network_a_cell_and_seed(cell, monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "CACHE", tmp_path)
    monkeypatch.setattr(digits, "_fit", lambda model, data, training: None)
    data = SpokenDigits(clips(20, 0), clips(5, 1), clips(5, 2))
    models = [digits_models.float_model(cell, seed, data) for seed in (0, 1, 1)]
    assert len(list(tmp_path.iterdir())) == 2
    weights = [model.head.weight.detach().numpy() for model in models]
    assert not np.array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[1], weights[2])
    found = dl.quantize(models[0], data.train.features)(data.test.features)
    assert np.shape(found) == (5, 10)


def test_spread():
    assert digits_models.spread([99.0, 98.0, 99.5]) == "98.83 (98.00 to 99.50)"
