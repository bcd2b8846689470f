"""Losses of models on data that come from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.errors import DeltaloomError
from ..compiler.streams import ArgMax

__all__ = ["ErrorRate", "SquaredError"]


@dataclass(frozen=True)
class ErrorRate:
    """Percentage of outputs whose largest element, or index, is not the one the label names.

    Parameters
    ----------
    x : array or sequence of arrays
        Float (batch, time, features), or a list of (time, features).
    labels : numpy.ndarray or sequence of numpy.ndarray
        Integers: (batch,) for networks that give one vector a sequence; else one for each
        timestep, (batch, time), or a list of (time,).
    memory : array or sequence of arrays, optional
        As ``x``: for networks with a memory.
    """

    x: Any
    labels: np.ndarray | Sequence[np.ndarray]
    memory: Any = None

    def __call__(self, model: Any) -> float:
        found = rows_of(model(self.x, memory=self.memory))
        wanted = np.concatenate([np.ravel(part) for part in self.labels])
        index = isinstance(model.network.layers[-1], ArgMax)
        if not index and found.shape[1] < 2:
            raise DeltaloomError(
                "Error rate must be taken of at least two outputs, of which one is the largest, "
                "not of one: give targets instead of labels"
            )
        if wanted.dtype.kind not in "iu" or len(wanted) != len(found):
            raise DeltaloomError(
                f"Labels must be one integer for each of the {len(found)} outputs, not "
                f"{len(wanted)} of type {wanted.dtype}"
            )
        size = None if index else found.shape[1]
        if wanted.min() < 0 or (size is not None and wanted.max() >= size):
            upper = "up" if size is None else f"to {size - 1}"
            raise DeltaloomError(f"Labels must be integers from 0 {upper}")
        named = found[:, 0] if index else found.argmax(axis=1)
        return 100 * float(np.mean(named != wanted))


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error of the outputs.

    Parameters
    ----------
    x : array or sequence of arrays
        Float (batch, time, features), or a list of (time, features).
    targets : numpy.ndarray or sequence of numpy.ndarray
        As the network's outputs: (batch, outputs) for networks that give one vector a sequence;
        else (batch, time, outputs), or a list of (time, outputs).
    memory : array or sequence of arrays, optional
        As ``x``: for networks with a memory.
    """

    x: Any
    targets: np.ndarray | Sequence[np.ndarray]
    memory: Any = None

    def __call__(self, model: Any) -> float:
        found = model(self.x, memory=self.memory)
        shapes = [np.shape(part) for part in found]
        wanted = [np.shape(part) for part in self.targets]
        if shapes != wanted:
            sizes = dict.fromkeys(shapes), dict.fromkeys(wanted)
            raise DeltaloomError(
                f"Targets must have the shapes of the outputs of the {len(shapes)} sequences, "
                f"{', '.join(map(str, sizes[0]))}, not of {len(wanted)}, "
                f"{', '.join(map(str, sizes[1]))}"
            )
        return float(np.mean((rows_of(found) - rows_of(self.targets)) ** 2))


def rows_of(outputs: Any) -> np.ndarray:
    """All vectors below each other: (rows, features)."""
    if isinstance(outputs, np.ndarray):
        return outputs.reshape(-1, outputs.shape[-1])
    return np.concatenate([np.asarray(part).reshape(-1, np.shape(part)[-1]) for part in outputs])
