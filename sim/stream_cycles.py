"""Cycle models of what elements move through between engines."""

from typing import Protocol

import numpy as np

__all__ = ["LONG_AGO", "Consumer", "LastStepModel", "Port", "in_order"]

Array = np.ndarray
LONG_AGO = -(1 << 40)


class Consumer(Protocol):
    """Whatever takes elements in order."""

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        """Take elements that are there from the given cycles on; returns their transfer cycles.

        ``last`` tells whether they belong to a sequence's last timestep. With ``gaps``, an element
        is offered that many cycles after the one before it was taken.
        """
        ...


def in_order(available: Array, earliest: int, spaces: Array | None = None) -> Array:
    """First cycles for elements of which each waits ``spaces`` cycles after the one before it."""
    if spaces is None:
        offsets = np.arange(len(available))
    else:
        offsets = np.cumsum(spaces + 1) - (spaces[0] + 1)
    wanted = available - offsets
    wanted[0] = max(wanted[0], earliest)
    return np.maximum.accumulate(wanted) + offsets


class Port:
    """The design's output, ready ``stalls[n]`` cycles after element n - 1 has left."""

    def __init__(self, stalls: Array | None):
        self._stalls = stalls
        self.delivered: list[Array] = []
        self._count = 0
        self._next = 0

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        count = len(available)
        stalls = None
        if self._stalls is not None:
            stalls = self._stalls[self._count : self._count + count]
        times = in_order(available, self._next + (0 if stalls is None else stalls[0]), stalls)
        self._count += count
        self._next = int(times[-1]) + 1
        self.delivered.append(times)
        return times


class LastStepModel:
    """Drops what does not belong to a sequence's last timestep."""

    def __init__(self, sink: Consumer):
        self._sink = sink
        self._next = 0

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        earliest = in_order(available, self._next)
        times = self._sink.take(earliest, last) if last else earliest
        self._next = int(times[-1]) + 1
        return times
