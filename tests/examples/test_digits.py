import numpy as np
import pytest
import torch

from deltaloom.bench.data import Clips, SpokenDigits
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.examples import digits


def clips(count, seed):
    """Clips whose label is the sign of a feature in the last frame."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(rng.integers(1, 9), 13)).astype(np.float32) for _ in range(count)]
    return Clips(features, np.array([int(clip[-1, 0] > 0) for clip in features]))


@pytest.fixture
def data():
    return SpokenDigits(clips(200, 0), clips(50, 1), clips(200, 2))


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "CACHE", tmp_path)
    return digits.Training(hidden_size=8, epochs=15, batch_size=32, learning_rate=0.03)


def test_learns_from_the_last_real_step(data, settings):
    assert digits.accuracy(digits.train(data, settings), data.test) > 0.9


def test_is_trained_once(data, settings, monkeypatch, tmp_path):
    random_before = torch.random.get_rng_state()
    first = digits.train(data, settings)
    assert torch.equal(torch.random.get_rng_state(), random_before)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    (cached,) = tmp_path.iterdir()
    cached.rename(tmp_path / "moved")
    again = digits.train(data, settings)
    assert cached.read_bytes() == (tmp_path / "moved").read_bytes()
    monkeypatch.setattr(digits, "_fit", None)
    third = digits.train(data, settings)
    for name, values in first.state_dict().items():
        assert torch.equal(values, again.state_dict()[name])
        assert torch.equal(values, third.state_dict()[name])
    with pytest.raises(TypeError):  # other data are not in the cache
        digits.train(SpokenDigits(clips(200, 3), data.validation, data.test), settings)


def test_front_end_takes_the_deployed_module(data, settings):
    model = digits.train(data, settings)
    network = from_torch(model)
    assert [layer.name for layer in network.layers] == ["gru.0", "last_step", "head"]
    logits = evaluate(network, data.test.features)
    with torch.no_grad():
        expected = [model(torch.from_numpy(clip[np.newaxis]))[0] for clip in data.test.features]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)  # torch's is float32
