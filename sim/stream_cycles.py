"""Cycle models of what elements move through between engines."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

__all__ = [
    "LONG_AGO",
    "ArgMaxModel",
    "Consumer",
    "EmbeddingModel",
    "ForkModel",
    "LastStepModel",
    "PoolModel",
    "Port",
    "ReverseModel",
    "in_order",
]

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

    def left(self, count: int) -> int:
        """Cycle in which so many elements have left."""
        assert count in (0, self._count), "only what has left last is known"
        return self._next - 1 if count else LONG_AGO

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


class ArgMaxModel:
    """Gives an index a cycle after its vector's end came, and waits for it."""

    def __init__(self, size: int, sink: Consumer):
        self._size = size
        self._sink = sink
        self._taken = 0
        self._next = 0

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        assert gaps is None
        times = in_order(available, self._next)
        self._next = int(times[-1]) + 1
        self._taken += len(times)
        if self._taken == self._size:
            self._taken = 0
            self._next = int(self._sink.take(times[-1:] + 1, last)[0])
        return times


class ForkModel:
    """Gives each element to all sinks; the next one comes when the slowest has taken it.

    With one sink it is nothing but a source that knows how to pause.
    """

    def __init__(self, sinks: Sequence[Consumer]):
        self._sinks = sinks
        self._next = 0

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        times = np.empty(len(available), dtype=np.int64)
        for at in range(len(available)):
            earliest = self._next + (0 if gaps is None else int(gaps[at]))
            offered = np.array([max(int(available[at]), earliest)])
            times[at] = max(int(sink.take(offered.copy(), last)[0]) for sink in self._sinks)
            self._next = int(times[at]) + 1
        return times


class BankedModel:
    """Takes a sequence into one of two banks while what the other one holds is given.

    Subclasses say in :meth:`_send` when a sequence whose last element came in a cycle is given;
    they note the cycle in which its bank is free.
    """

    def __init__(self, size: int, sink: Consumer):
        self._size = size
        self._sink = sink
        self._taken = 0
        self._next = 0
        self._released: list[int] = []  # when the last element of a sequence is asked for
        self._left = LONG_AGO  # when the element before it has left

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        assert gaps is None
        earliest = self._next
        if not self._taken and len(self._released) > 1:
            earliest = max(earliest, self._released[-2] + 1)
        times = in_order(available, earliest)
        self._next = int(times[-1]) + 1
        self._taken += len(times)
        if last and not self._taken % self._size:
            steps, self._taken = self._taken // self._size, 0
            self._send(int(times[-1]), steps)
        return times

    def _send(self, end: int, steps: int) -> None:
        raise NotImplementedError


class ReverseModel(BankedModel):
    """Holds a sequence until its end and gives it back to front."""

    def _send(self, end: int, steps: int) -> None:
        for number in range(steps, 0, -1):
            ready = np.full(self._size, end + 2)
            left = [self._left, *self._sink.take(ready, number == 1).tolist()]
            self._left = left[-1]
        self._released.append(max(end + 1, left[-2]))


class PoolModel(BankedModel):
    """Takes a sequence while it gives the results of the one before."""

    def __init__(self, size: int, latency: int, sink: Consumer):
        super().__init__(size, sink)
        self._latency = latency

    def _send(self, end: int, steps: int) -> None:
        for _ in range(self._size):
            asked = max(end + 2, self._left)
            self._left = int(self._sink.take(np.array([asked + self._latency]), True)[0])
        self._released.append(asked)


class EmbeddingModel:
    """Gives a row for each index."""

    def __init__(self, size: int, sink: Consumer):
        self._size = size
        self._sink = sink
        self._next = 0
        self._left = LONG_AGO  # when the last element has left

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        assert gaps is None
        times = np.empty(len(available), dtype=np.int64)
        for at, there in enumerate(available.tolist()):
            times[at] = time = max(there, self._next)
            ready = np.full(self._size, time + 2)
            left = [self._left, *self._sink.take(ready, last).tolist()]
            self._left = left[-1]
            self._next = max(time + 1, left[-2])  # when the last element is read
        return times
