"""What values a network's nodes take on sample data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .clipping import covering_format, least_squares_format
from .errors import DeltaloomError
from .evaluate import Kept, Observer, as_pairs, evaluate
from .fixed import Format
from .graph import Node
from .network import Embedding, Layer, Network
from .signal_noise import signal_to_noise
from .state_clipping import least_error_format
from .wiring import INPUT, MEMORY

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

    def share_beyond(self, format: Format) -> float:
        """Share of the values that a format cuts off by more than half a step."""
        low, high = (format.min - 0.5) * 2.0**-format.frac, (format.max + 0.5) * 2.0**-format.frac
        beyond = self.counts[(self.values < low) | (self.values > high)]
        return float(beyond.sum() / self.counts.sum())

    def format(self, width: int, clip: str) -> Format:
        """Power-of-two format of ``width`` bits; ``clip`` is ``minmax`` or ``mse``."""
        if clip == "mse":
            return least_squares_format(self.values, self.counts, width, f"Values of {self.what}")
        return covering_format(self.low, self.high, width, f"Values of {self.what}")


class Ranges(dict[tuple[str, str], Statistics]):
    """Statistics by layer name and node name; :data:`STREAM` for what a layer or the input gives.

    Parameters
    ----------
    network : Network
        Float network.
    x : list or array
        The sample data.
    states : mapping of str to mapping of str to array, optional
        What they start from.
    memory : list or array, optional
        The other sequence of each pair, if the network has a memory.
    """

    def __init__(self, network: Network, x: Any, states: Any = None, memory: Any = None):
        super().__init__()
        self._network, self._x, self._states, self._memory = network, x, states, memory
        self._formats: dict[tuple[str, str, int], Format] = {}

    def replay(self, observe: Observer) -> None:
        """Run the float network on the sample data again, and show every node's values."""
        evaluate(self._network, self._x, observe, states=self._states, memory=self._memory)

    def following(self, layer: Layer, position: int) -> Statistics:
        """A state's values are those that are computed for it, the sequence's last one included.

        What sequences start from counts where it goes beyond them.
        """
        nodes = layer.graph.nodes
        computed = self[layer.name, nodes[layer.graph.next_of(position)].name]
        own = self[layer.name, nodes[position].name]
        if own.low < min(computed.low, 0.0) or own.high > max(computed.high, 0.0):
            return Statistics.merged([computed, own])
        return computed

    def state_format(self, layer: Layer, position: int, width: int) -> Format:
        """What a state is kept in, of ``width`` bits, so that the network's outputs err least.

        :func:`~deltaloom.compiler.state_clipping.least_error_format` says which formats are tried.
        """
        state = layer.graph.nodes[position].name
        key = (layer.name, state, width)
        if key not in self._formats:
            statistics = self.following(layer, position)

            def ratio(format: Format) -> float:
                kept = {layer.name: {state: format}}
                found = self._evaluate(kept)
                return signal_to_noise(self._outputs, found)

            covering = statistics.format(width, "minmax")
            self._formats[key] = least_error_format(covering, statistics.share_beyond, ratio)
        return self._formats[key]

    @cached_property
    def _outputs(self) -> np.ndarray | list[np.ndarray]:
        return self._evaluate(None)

    def _evaluate(self, kept: Kept | None) -> np.ndarray | list[np.ndarray]:
        return evaluate(self._network, self._x, states=self._states, kept=kept, memory=self._memory)


def calibrate(network: Network, x: Any, states: Any = None, memory: Any = None) -> Ranges:
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
    memory : array or sequence of arrays, optional
        As ``x``, a sequence for each of its own: for a network with a memory.
    """
    try:
        given = as_pairs(network.inputs, x, memory)
    except DeltaloomError as error:
        raise DeltaloomError(f"Calibration data are unusable: {error}") from error
    sequences, memory = given[INPUT], given.get(MEMORY)
    found = Ranges(network, sequences, states, memory)

    def observe(layer: Layer, node: Node, values: np.ndarray) -> None:
        found[layer.name, node.name] = Statistics.of(f"{layer.name}.{node.name}", values)

    def observe_stream(name: str, values: np.ndarray) -> None:
        found[name, STREAM] = Statistics.of(f"stream {name}", values)

    with np.errstate(over="ignore", invalid="ignore"):
        evaluate(network, sequences, observe, observe_stream, states=states, memory=memory)
    for part in network.layers:
        if isinstance(part, Embedding):
            observe_stream(part.name, part.table)
    return found
