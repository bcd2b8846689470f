"""The cycle model of windows of timesteps."""

import numpy as np

from ..compiler.streams import Window
from .stream_cycles import LONG_AGO, Consumer, in_order

__all__ = ["WindowModel"]

Array = np.ndarray


class WindowModel:
    """A ring of timesteps, read a window at a time."""

    def __init__(self, layer: Window, size: int, sink: Consumer):
        self._layer = layer
        self._size = size
        self._sink = sink
        self._column = 0
        self._next = 0
        self._came: list[int] = []  # when the timesteps of this sequence were complete
        self._begun = 0  # windows of it that have been sent
        self._dropped: list[int] = []  # when each timestep of any sequence leaves the ring
        self._rows = 0  # timesteps of all sequences
        self._released: list[int] = []  # when the last window of a sequence has been read
        self._left = LONG_AGO  # when the last element has left

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        assert gaps is None
        earliest = self._next
        if not self._column:
            over = self._rows - self._layer.held
            if over >= 0:
                earliest = max(earliest, self._dropped[over] + 1)
            if not self._came and len(self._released) > 1:
                earliest = max(earliest, self._released[-2] + 1)
        times = in_order(available, earliest)
        self._next = int(times[-1]) + 1
        self._column += len(times)
        if self._column == self._size:
            self._column = 0
            self._rows += 1
            self._came.append(int(times[-1]))
            self._send(last)
        return times

    def _send(self, ended: bool) -> None:
        """Give all windows that do not wait for more."""
        layer, came = self._layer, len(self._came)
        outputs = max(1, (came - layer.lost - 1) // layer.stride + 1)
        while ended or self._begun * layer.stride + layer.ahead < came:
            awaited = min(self._begun * layer.stride + layer.ahead, came - 1)
            self._begun += 1
            final = ended and self._begun == outputs
            known = self._came[awaited] + 1
            ready = np.full(layer.kernel * self._size, known + 1)
            left = [self._left, *self._sink.take(ready, final).tolist()]
            self._left = left[-1]
            read = max(known, left[-2])
            kept = max(0, self._begun * layer.stride - layer.padding[0])
            rest = self._rows - came + (came if final else kept) - len(self._dropped)
            self._dropped += [read] * rest
            if final:
                self._released.append(read)
                self._came, self._begun = [], 0
                return
