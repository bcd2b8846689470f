"""The cycle model of attention."""

from collections.abc import Sequence

import numpy as np

from ..compiler.attention_schedule import AttentionSchedule
from ..compiler.schedule import ENCODER_LATENCY, ENTRY_LATENCY, QUEUE_LATENCY, RECEIVER_LATENCY
from .engine_cycles import walk
from .join_cycles import QueueModel
from .layer_golden import LayerTrace
from .stream_cycles import Consumer, in_order

__all__ = ["AttentionModel", "Walks"]

Array = np.ndarray


class Walks:
    """What queries and weights fire, in the order of the queries."""

    def __init__(self, trace: LayerTrace, lengths: Sequence[int]):
        self._steps = [(s, t) for s, length in enumerate(lengths) for t in range(length)]
        self._trace = trace

    def of(self, query: int) -> tuple[int, Array]:
        """Entries of a query's list, and which keys' weights are listed, int64 (entries,)."""
        sequence, time = self._steps[query]
        fired = self._trace.fired
        return int(fired["q"][sequence, time].sum()), np.flatnonzero(fired["p"][sequence, time])


class AttentionModel:
    """Takes vectors from the queues of its sources, and runs every query whose keys are there."""

    def __init__(
        self, schedule: AttentionSchedule, walks: Walks, depths: Sequence[int], sink: Consumer
    ):
        layer = schedule.layer
        sizes = (layer.size, layer.size, layer.value_size)
        self.queues = [
            QueueModel(self, size, depth) for size, depth in zip(sizes, depths, strict=True)
        ]
        self.released: list[int] = []
        self._schedule = schedule
        self._walks = walks
        self._sink = sink
        # The memory: from when on each timestep of the sequence at hand is seen.
        self._seen: list[int] = []
        self._complete = False
        self._kept = [0, 0]  # vectors of keys and of values
        self._next_kept = 0
        # Queries: from when on each is seen to be listed, and when its list is not needed more.
        self._listed: list[int] = []
        self._freed: list[int] = []
        self._next_asked = 0
        # The sequencer.
        self._time = 0
        self._idle = 0
        self._drained = 0  # from when on a block may end
        self._captured = 0
        self._popped: list[int] = []

    def run(self) -> None:
        """Do all that the vectors which are complete in the queues allow."""
        while self._keep() or self._list() or self._ask():
            pass

    def _keep(self) -> bool:
        """Write a key or a value."""
        place = int(self._kept[0] > self._kept[1])
        queue, vector = self.queues[1 + place], self._kept[place]
        if self._complete or len(queue.lasts) <= vector:
            return False
        times = in_order(queue.visible(vector), self._next_kept)
        queue.read.extend(times.tolist())
        self._kept[place] += 1
        self._next_kept = int(times[-1]) + 1
        if place:
            self._seen.append(self._next_kept)
            self._complete = queue.lasts[vector]
        return True

    def _list(self) -> bool:
        """List a query."""
        queue, vector = self.queues[0], len(self._listed)
        if len(queue.lasts) <= vector or vector > len(self._freed) + 1:
            return False
        free = self._freed[vector - 2] + 1 if vector > 1 else 0
        times = in_order(queue.visible(vector), max(self._next_asked, free))
        queue.read.extend(times.tolist())
        self._next_asked = int(times[-1]) + 1
        self._listed.append(int(times[-1]) + RECEIVER_LATENCY + ENCODER_LATENCY)
        return True

    def _ask(self) -> bool:
        """Run a query."""
        query = len(self._freed)
        causal = self._schedule.layer.causal
        met = self._time + 1 if causal else len(self._seen)
        if len(self._listed) <= query or not (len(self._seen) >= met if causal else self._complete):
            return False
        last = self.queues[0].lasts[query]
        entries, weights = self._walks.of(query)
        start = max(self._listed[query], self._seen[met - 1], self._idle) + 1
        end = self._score(start, entries, met)
        self._freed.append(end)
        end = self._weigh(end + 1, weights, met, last)
        self.released.append(end)
        self._idle = end + 1
        self._time += 1
        if last:
            self._time, self._complete = 0, False
            self._seen.clear()
            self._next_kept = max(self._next_kept, end + self._schedule.forget_latency + 1)
        return True

    def _score(self, start: int, entries: int, met: int) -> int:
        """Walk a query for each block of keys; returns the cycle of the last entry."""
        for first in range(0, met, self._schedule.lanes):
            end = max(start + max(entries, 1) - 1, self._drained)
            self._drained = end + min(self._schedule.lanes, met - first)
            start = end + 1
        return end

    def _weigh(self, start: int, weights: Array, met: int, last: bool) -> int:
        """Walk the weights for each block of values; returns the cycle of the last entry."""
        schedule = self._schedule
        # The last score's cycle in the softmax; the address of the first one follows it.
        address = self._drained - 1 + schedule.score_latency + schedule.sum_latency + 1
        listed = address + schedule.listing_latency
        visible, closed = listed + weights, listed + met - 1
        for block in range(schedule.value_blocks):
            tail = block == schedule.value_blocks - 1
            units = schedule.tail_units if tail else schedule.lanes
            end = max(walk(start, len(weights), visible, closed), self._drained)
            needed = self._captured + schedule.units - schedule.output_depth
            if needed > 0:
                end = max(end, self._popped[needed - 1] + 1)
            self._drained = end + units
            self._captured += units
            leaves = end + ENTRY_LATENCY + schedule.sum_latency + np.arange(units)
            queued = leaves + schedule.output_latency + QUEUE_LATENCY
            self._popped.extend(self._sink.take(queued, last).tolist())
            start = end + 1
        return end
