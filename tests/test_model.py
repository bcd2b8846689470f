import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 9, 3)).cumsum(axis=1) * 0.3


@pytest.fixture
def gru():
    torch.manual_seed(0)
    return nn.GRU(3, 5, batch_first=True)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier()


def test_inputs_of_every_kind_give_the_same(gru, clips):
    model = dl.quantize(gru, clips)
    outputs = model(clips)
    assert outputs.shape == (4, 9, 5)
    assert outputs.dtype == np.float64
    integers = model.integer(clips)
    assert integers.dtype == np.int64
    np.testing.assert_array_equal(model.to_float(integers), outputs)
    np.testing.assert_array_equal(model(torch.tensor(clips)), outputs)
    np.testing.assert_array_equal(model(torch.tensor(clips, requires_grad=True)), outputs)
    ragged = model(list(clips))
    assert isinstance(ragged, list)
    np.testing.assert_array_equal(np.stack(ragged), outputs)


def test_near_torch(gru, clips):
    with torch.no_grad():
        expected = gru(torch.tensor(clips, dtype=torch.float32))[0]
    # Weights and inputs of 8 bits: 2 % of an output that reaches 1.
    np.testing.assert_allclose(dl.quantize(gru, clips)(clips), expected, rtol=0, atol=0.02)


def test_sequences_of_different_lengths(gru, classifier, clips):
    lengths = (9, 1, 4, 6)
    ragged = [clip[:length] for clip, length in zip(clips, lengths, strict=True)]
    outputs = dl.quantize(gru, ragged)(ragged)
    assert [values.shape for values in outputs] == [(length, 5) for length in lengths]
    model = dl.quantize(classifier, ragged)
    assert model(ragged).shape == (4, 4)
    np.testing.assert_array_equal(model(ragged)[1:2], model(clips[1:2, :1]))


def test_theta_zero_is_dense(gru, clips):
    dense = dl.quantize(gru, clips).integer(clips)
    for skip in ("zero", "delta"):
        skipping = dl.quantize(gru, clips, dl.Recipe(skip=skip))
        np.testing.assert_array_equal(skipping.integer(clips), dense)


def test_saved_and_loaded(gru, clips, tmp_path):
    model = dl.quantize(gru, clips, dl.Recipe(weights="int5", skip="delta", theta=2))
    model.save(tmp_path / "a.safetensors")
    again = dl.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.integer(clips), model.integer(clips))
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_accuracy(gru, classifier, clips):
    model = dl.quantize(classifier, clips)
    labels = model(clips).argmax(axis=1)
    assert model.accuracy(clips, labels) == 1
    labels[0] = (labels[0] + 1) % 4
    assert model.accuracy(clips, labels) == 0.75
    sequence = dl.quantize(gru, clips)
    labels = sequence(clips).argmax(axis=2)
    assert sequence.accuracy(clips, labels) == 1
    assert sequence.accuracy(list(clips), list(labels)) == 1


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros(3, int), "Labels must be one integer for each sequence"),
        (np.zeros((4, 9), int), "Labels must be one integer for each sequence"),
        (np.array([0, 1, 2, 4]), "Labels must be integers from 0 to 3"),
        (np.array([0, 1, 2, -1]), "Labels must be integers from 0 to 3"),
        (np.zeros(4), "Labels must be integers from 0 to 3"),
    ],
)
def test_wrong_labels(classifier, clips, labels, sentence):
    with pytest.raises(dl.DeltaloomError, match=f"^{sentence}$"):
        dl.quantize(classifier, clips).accuracy(clips, labels)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(gru, clips, value):
    with torch.no_grad():
        gru.weight_hh_l0[0, 0] = value
    with pytest.raises(dl.DeltaloomError, match=r"finite"):
        dl.quantize(gru, clips)


@pytest.mark.parametrize(
    ("calibration", "sentence"),
    [
        (np.zeros((2, 3)), r"must have shape \(batch, time, 3\), but it has \(2, 3\)"),
        (np.zeros((2, 5, 4)), r"must have shape \(batch, time, 3\), but it has \(2, 5, 4\)"),
        (np.zeros((0, 5, 3)), r"must not be empty"),
        ([], r"must have at least one sequence"),
        (np.full((2, 5, 3), np.nan), r"must be finite, but it holds NaN or infinity"),
        ([np.zeros((2, 3)), np.full((1, 3), np.inf)], r"must be finite, but sequence 1 holds"),
        (np.zeros((2, 5, 3), complex), r"must be real numbers, but it holds complex128"),
        (np.full((2, 5, 3), "a"), r"must be real numbers, but it holds <U1"),
    ],
)
def test_unusable_calibration(gru, clips, calibration, sentence):
    with pytest.raises(dl.DeltaloomError, match=f"^Calibration data are unusable: .*{sentence}"):
        dl.quantize(gru, calibration)
    with pytest.raises(dl.DeltaloomError, match=sentence):
        dl.quantize(gru, clips)(calibration)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (nn.Sequential(nn.Conv1d(4, 4, 1, groups=2)), "Conv1d"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), "Conv2d"),
        ("model.tflite", "or an ONNX file, not 'model.tflite'"),
    ],
)
def test_unsupported_model(clips, module, sentence):
    with pytest.raises(dl.UnsupportedError, match=sentence):
        dl.quantize(module, clips)


def test_states(gru, clips):
    """Given to a sequence they are those it left; only then do the parts equal the whole."""
    states = {"gru.0": {"h": np.random.default_rng(1).normal(size=(4, 5)) * 0.5}}
    model = dl.quantize(gru, clips, states=states)
    whole = model.run(clips, states)
    np.testing.assert_array_equal(whole.outputs, model(clips, states))
    assert whole.saturated_states == {"gru.0": {"h": 0}}
    first = model.run(clips[:, :4], states)
    second = model.run(clips[:, 4:], first.states)
    np.testing.assert_array_equal(
        np.concatenate([first.integers, second.integers], axis=1), whole.integers
    )
    np.testing.assert_array_equal(
        model.integer(clips[:, 4:], first.integer_states), second.integers
    )
    assert (model.integer(clips[:, 4:]) != second.integers).any()
    with torch.no_grad():
        start = torch.tensor(states["gru.0"]["h"][None], dtype=torch.float32)
        expected, left = gru(torch.tensor(clips, dtype=torch.float32), start)
    np.testing.assert_allclose(whole.outputs, expected, rtol=0, atol=0.02)
    np.testing.assert_allclose(whole.states["gru.0"]["h"], left[0], rtol=0, atol=0.02)
    with pytest.raises(dl.DeltaloomError, match="State gru.0.h must be integers within s16"):
        model.integer(clips, states)
