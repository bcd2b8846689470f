"""What values a network's nodes take on sample data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .clipping import covering_format, least_squares_format
from .errors import DeltaloomError
from .evaluate import as_sequences, evaluate
from .fixed import Format
from .graph import Node
from .network import Embedding, Layer, Network

__all__ = ["STREAM", "Ranges", "Statistics", "calibrate"]

BINS = 1 << 14

STREAM = "(stream)"
"""Stands for a layer's output stream where a node's name would; no node has such a name."""


@dataclass(frozen=True)
class Statistics:
    """The values that one node took.

    Parameters
    ----------
    what : str
        ``layer.node``, for errors.
    low, high : float
        Extremes.
    values, counts : numpy.ndarray
        Histogram, float64 (bins,): the mean of each bin that was hit, and how many values hit it.
    """

    what: str
    low: float
    high: float
    values: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, what: str, values: np.ndarray) -> "Statistics":
        """Summarise an array of any shape."""
        values = values.reshape(-1)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise DeltaloomError(
                f"Node {what} must stay finite on the calibration data; it becomes NaN or infinite"
            )
        largest = max(high, -low)
        step = largest * (2 / BINS) if largest > 1e-300 else 1.0
        bins = np.clip(np.floor(values / step).astype(np.int64) + BINS // 2, 0, BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        sums = np.bincount(bins, weights=values, minlength=BINS)
        hit = counts > 0
        means = np.clip(sums[hit] / counts[hit], low, high)
        return cls(what, low, high, means, counts[hit].astype(np.float64))

    @classmethod
    def merged(cls, parts: Sequence["Statistics"]) -> "Statistics":
        """The values of several nodes together."""
        return cls(
            " and ".join(part.what for part in parts),
            min(part.low for part in parts),
            max(part.high for part in parts),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )

    def format(self, width: int, clip: str) -> Format:
        """Power-of-two format of ``width`` bits; ``clip`` is ``minmax`` or ``mse``."""
        if clip == "mse":
            return least_squares_format(self.values, self.counts, width, f"Values of {self.what}")
        return covering_format(self.low, self.high, width, f"Values of {self.what}")


Ranges = Mapping[tuple[str, str], Statistics]
"""Statistics by layer name and node name; :data:`STREAM` for what a layer or the input gives."""


def calibrate(network: Network, x: Any, states: Any = None) -> Ranges:
    """Run the float network on sample data and summarise every node's values.

    Of an embedding it is the whole table, so that rows which the sample lacks fit as well.

    Parameters
    ----------
    network : Network
        Float network.
    x : array or sequence of arrays
        NumPy or torch, (batch, time, features); or a list of (time, features).
    states : mapping of str to mapping of str to array, optional
        What the sequences start from, as :func:`~deltaloom.compiler.evaluate.evaluate` takes it.
    """
    found: dict[tuple[str, str], Statistics] = {}

    def observe(layer: Layer, node: Node, values: np.ndarray) -> None:
        found[layer.name, node.name] = Statistics.of(f"{layer.name}.{node.name}", values)

    def observe_stream(name: str, values: np.ndarray) -> None:
        found[name, STREAM] = Statistics.of(f"stream {name}", values)

    try:
        sequences = as_sequences(x, network.input_size)
    except DeltaloomError as error:
        raise DeltaloomError(f"Calibration data are unusable: {error}") from error
    with np.errstate(over="ignore", invalid="ignore"):
        evaluate(network, sequences, observe, observe_stream, states=states)
    for part in network.layers:
        if isinstance(part, Embedding):
            observe_stream(part.name, part.table)
    return found
