import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.bench import digits_tuning
from deltaloom.bench.data import Clips, SpokenDigits
from deltaloom.bench.digits import correct
from deltaloom.bench.digits_tuning import FineTuning
from deltaloom.examples.digits import DigitClassifier


def clips(count, seed):
    """Two classes that the first feature tells apart, of different lengths."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    features = [rng.normal(size=(rng.integers(3, 9), 13)).astype(np.float32) for _ in labels]
    for clip, label in zip(features, labels, strict=True):
        clip[:, 0] += 4 * label - 2
    return Clips(features, labels)


@pytest.fixture
def data():
    return SpokenDigits(clips(60, 0), clips(20, 1), clips(20, 2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return DigitClassifier(6).eval()


def test_fine_tuning_learns(model, data):
    recipe = dl.Recipe("ternary", "int4", skip="delta")
    tuning = FineTuning(epochs=15, batch_size=10, learning_rate=2e-2)
    assert correct(digits_tuning.fine_tune(model, data, recipe, tuning, 0), data.test) >= 18


def test_thresholds_have_risen(model, data):
    """To those of the recipe, with which the epoch that is kept was trained."""
    recipe = dl.Recipe(skip="delta", theta={"gru.0": {"x": 9, "h": 30}})
    tuning = FineTuning(2, 10, rise=0.75, penalty=1.0, distillation=1.0)
    found = digits_tuning.fine_tune(model, data, recipe, tuning, 0)
    assert found.network.computing[0].theta == {"x": 9, "h": 30}
    assert [digits_tuning._part(recipe.theta, share) for share in (0.1, 1)] == [
        {"gru.0": {"x": 1, "h": 3}},
        recipe.theta,
    ]


def test_divergence_from_the_teacher(model, data):
    """None from what the teacher itself says of padded clips, some from anything else."""
    noisy = [torch.from_numpy(clip) for clip in data.test.features]
    with torch.no_grad():
        logits = torch.cat([model(clip[None]) for clip in noisy])
    divergence = digits_tuning._divergence(logits, model, noisy)
    assert float(divergence) == pytest.approx(0, abs=1e-6)
    assert digits_tuning._divergence(logits.flip(1), model, noisy) > 1e-3


def test_batches_hold_each_clip_once(data):
    torch.manual_seed(0)
    batches = digits_tuning._batches(data.train, 7)
    assert sorted(torch.cat(batches).tolist()) == list(range(60))
    assert len(batches) == 9


def test_what_is_done_is_found_again(model, data, monkeypatch, tmp_path):
    monkeypatch.setattr(digits_tuning, "FOLDER", tmp_path)
    monkeypatch.setattr(digits_tuning, "float_model", lambda cell, seed, data: model)
    recipe, tuning = dl.Recipe("binary"), FineTuning(1, 30)
    first = digits_tuning.tuned("GRU", 0, data, recipe, tuning)
    monkeypatch.setattr(digits_tuning, "fine_tune", None)  # a second training would raise
    again = digits_tuning.tuned("GRU", 0, data, recipe, tuning)
    for one, other in zip(first(data.test.features), again(data.test.features), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(TypeError):
        digits_tuning.tuned("GRU", 0, data, recipe, FineTuning(2, 30))


def test_clips_vary_in_length_and_level():
    torch.manual_seed(0)
    clip = torch.linspace(0, 1, 41)[:, None].repeat(1, 13)
    for _ in range(20):
        found = digits_tuning._varied(clip, FineTuning(noise=0.0, stretch=0.2))
        assert 33 <= len(found) <= 49
        assert float(found[0, 0]) < 0.02
        assert float(found[-1, 0]) > 0.98
    level = digits_tuning._varied(clip, FineTuning(noise=0.0, offset=0.1)) - clip
    assert len(level[0].unique()) == 13
    torch.testing.assert_close(level, level[:1].expand_as(level))
    assert digits_tuning._varied(clip, FineTuning(noise=0.0)).equal(clip)
