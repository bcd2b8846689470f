"""How far quantized values are from real ones, as the ratio that all reports give."""

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["signal_to_noise"]


def signal_to_noise(
    reference: np.ndarray | Sequence[np.ndarray], found: np.ndarray | Sequence[np.ndarray]
) -> float:
    """Signal-to-quantization-noise ratio in dB: power of the reference over that of the error.

    Parameters
    ----------
    reference, found : numpy.ndarray or sequence of numpy.ndarray
        Real values of equal shapes; those of a sequence count as one signal.

    Returns
    -------
    float
        Infinite where nothing differs, minus infinity where a signal of zeros does.
    """
    if isinstance(reference, np.ndarray) and isinstance(found, np.ndarray):
        reference, found = [reference], [found]
    signal = noise = 0.0
    for wanted, got in zip(reference, found, strict=True):
        if wanted.shape != got.shape:
            raise ValueError(
                f"Values must have the reference's shape {wanted.shape}, not {got.shape}"
            )
        signal += float(np.square(wanted, dtype=np.float64).sum())
        noise += float(np.square(np.subtract(got, wanted, dtype=np.float64)).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
