"""Cycle models of joins: queues, and what takes a vector from each of them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .stream_cycles import LONG_AGO, Consumer

__all__ = ["AdderModel", "JoinModel", "QueueModel"]

Array = np.ndarray


class Joining(Protocol):
    """What takes vectors from queues."""

    def run(self) -> None:
        """Take what is complete in the queues."""
        ...


class QueueModel:
    """A queue before a join.

    It holds a vector and more, so that the reads that a write waits for belong to earlier vectors,
    whose times are known.
    """

    def __init__(self, join: Joining, size: int, depth: int):
        self._join = join
        self._size = size
        self._depth = depth
        self.written: list[int] = []
        self.read: list[int] = []
        self.lasts: list[bool] = []  # for each complete vector, whether its sequence ends

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        assert gaps is None
        first = len(self.written)
        for time in available.tolist():
            if self.written:
                time = max(time, self.written[-1] + 1)
            full = len(self.written) - (self._depth - 1)
            if full >= 0:
                time = max(time, self._moved(full) + 1)
            self.written.append(max(time, 0))
            if not len(self.written) % self._size:
                self.lasts.append(last)
        self._join.run()
        return np.array(self.written[first:], dtype=np.int64)

    def _moved(self, number: int) -> int:
        """When an element goes from memory to the output register."""
        before = self.read[number - 1] if number else LONG_AGO
        return max(self.written[number] + 1, before)

    def visible(self, vector: int) -> Array:
        """When the elements of a vector are there to be read, if nothing is before them."""
        return np.array(self.written[vector * self._size : (vector + 1) * self._size]) + 2


class JoinModel:
    """A vector of each source, one after the other."""

    def __init__(self, sizes: Sequence[int], depths: Sequence[int], sink: Consumer):
        self.queues = [
            QueueModel(self, size, depth) for size, depth in zip(sizes, depths, strict=True)
        ]
        self._sink = sink
        self._sent = 0

    def run(self) -> None:
        """Send all vectors that are complete in every queue."""
        while all(len(queue.lasts) > self._sent for queue in self.queues):
            number = self._sent
            self._sent += 1
            visible = [queue.visible(number) for queue in self.queues]
            read = self._send(visible, self.queues[0].lasts[number])
            for queue, times in zip(self.queues, read, strict=True):
                queue.read.extend(times.tolist())

    def _send(self, visible: list[Array], last: bool) -> list[Array]:
        times = self._sink.take(np.concatenate(visible), last)
        return np.split(times, np.cumsum([len(part) for part in visible])[:-1])


class AdderModel(JoinModel):
    """An element of each source at a time, through one register."""

    _free = LONG_AGO  # when the register's content has left

    def _send(self, visible: list[Array], last: bool) -> list[Array]:
        read = np.max(visible, axis=0)
        for at in range(len(read)):
            read[at] = max(read[at], self._free)
            self._free = int(self._sink.take(read[at : at + 1] + 1, last)[0])
        return [read] * len(visible)
