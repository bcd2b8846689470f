"""How ragged sequences lie in one array, so that a timestep of all of them is one slice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How the timesteps of sequences of any lengths are stacked as rows, without padding.

    All first timesteps come first, then all second ones, and so on; within a timestep the longest
    sequence comes first and equal lengths keep their order. Sequences of one length thus are
    (time, batch) flattened, and a sequence has the same place within each of its timesteps.

    Parameters
    ----------
    source : numpy.ndarray
        Row's position in the concatenation of the sequences; (rows,).
    alive : numpy.ndarray
        Number of sequences that have a timestep; (longest length,).
    ends : numpy.ndarray
        Where each sequence ends in the concatenation; (sequences,).
    """

    source: np.ndarray
    alive: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Layout":
        sizes = np.asarray(lengths)
        ends = np.cumsum(sizes)
        starts = (ends - sizes)[np.argsort(-sizes, kind="stable")]
        alive = (sizes > np.arange(sizes.max())[:, np.newaxis]).sum(axis=1)
        source = np.concatenate([starts[:count] + time for time, count in enumerate(alive)])
        return cls(source, alive, ends)

    @property
    def starts(self) -> np.ndarray:
        """Where each sequence begins in the concatenation; (sequences,)."""
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def order(self) -> np.ndarray:
        """Which sequence has each place of a timestep; (sequences,)."""
        found: np.ndarray = np.argsort(self.starts - self.ends, kind="stable")
        return found

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Rows as the concatenation of the sequences, each in the order of time."""
        flat = np.empty_like(rows)
        flat[self.source] = rows
        return flat
