"""The cycle model of one engine.

It does not imitate the hardware cycle by cycle: an entry's cycle follows from the cycles of what it
waits for. Blocks, elements and timesteps are taken in their order, so every wait is known by then.
"""

from collections.abc import Sequence

import numpy as np

from ..compiler.integer import IntegerLayer
from ..compiler.schedule import (
    ENCODER_LATENCY,
    ENTRY_LATENCY,
    QUEUE_LATENCY,
    RECEIVER_LATENCY,
    LayerSchedule,
    spacing,
)
from .golden import LayerTrace
from .stream_cycles import LONG_AGO, Consumer, in_order

__all__ = ["Columns", "EngineModel"]

Array = np.ndarray


class EngineModel:
    """One layer. Takes its input vector by vector; a complete vector runs a timestep."""

    def __init__(self, schedule: LayerSchedule, trace: "Columns", sink: Consumer):
        self._schedule = schedule
        self._columns = trace
        self._sink = sink
        self.released: list[int] = []
        self._pause = max(0, spacing(schedule.layer.skip) - schedule.layer.input_size)
        self._accepted: list[Array] = []
        self._taken = 0
        self._first = True
        self._next = 0
        self._late = 0
        self._state_fired: Array | None = None
        self._state_visible = np.zeros(0, dtype=np.int64)
        self._previous_pass = 0
        self._drained: list[int] = [LONG_AGO] * schedule.drain_banks  # when blocks have left
        self._captured = 0
        self._popped: list[int] = []
        tail = schedule.layer.channels - (schedule.blocks - 1) * schedule.units
        self._units = [schedule.units] * (schedule.blocks - 1) + [tail]

    def take(self, available: Array, last: bool, gaps: Array | None = None) -> Array:
        earliest = self._next + (0 if gaps is None else int(gaps[0]))
        if not self._taken and self.released:
            earliest = max(earliest, self._next + self._pause)
            if len(self.released) > 1:
                earliest = max(earliest, self.released[-2] + 1)
        times = in_order(available, earliest, gaps)
        self._next = int(times[-1]) + 1
        self._taken += len(times)
        if self._taken == self._schedule.layer.input_size:
            self._taken = 0
            self._run_timestep(int(times[-1]) + RECEIVER_LATENCY + ENCODER_LATENCY, last)
        return times

    def _run_timestep(self, ready: int, last: bool) -> None:
        """Walk all passes of a timestep whose input list is complete from cycle ``ready`` on."""
        schedule = self._schedule
        fired = self._columns.next(schedule.layer)
        x_count, state_fired = int(fired[0].sum()), fired[-1]
        if self._first or not schedule.layer.recurrent:
            visible, closed = np.zeros(0, dtype=np.int64), ready
        else:
            visible, closed = self._state_visible[state_fired], int(self._state_visible[-1])
        decided = max(ready, self.released[-1] if self.released else ready)
        start = decided + 1
        if self.released and decided == self.released[-1]:
            start += self._late

        ahead_done = 0
        if schedule.x_ahead and x_count and closed > decided:
            for number in range(schedule.passes):
                end = start + x_count - 1
                ahead_done = number + 1
                over = closed <= end or ahead_done == schedule.passes
                start = self._finish_pass(number, 0 if over else number + 1, x_count, end)
                if over:
                    break

        state_times: list[Array] = []
        for number in range(schedule.passes):
            entries = len(visible) + (0 if number < ahead_done else x_count)
            end = walk(start, entries, visible, closed)
            block, fold = divmod(number, schedule.folds)
            if fold == schedule.folds - 1:
                end = self._reserve(end)
                state_times.append(self._finish_block(block, end, last))
            following = (number + 1) % schedule.passes
            start = self._finish_pass(number, following, max(entries, 1), end)
        # A pass that must leave a cycle for stored sums holds up the next timestep as well.
        self.released.append(end)
        self._late = start - end - 1
        self._first = last
        self._state_visible = np.concatenate(state_times)

    def _finish_pass(self, number: int, following: int, tokens: int, end: int) -> int:
        """First cycle in which the next pass may issue."""
        before, self._previous_pass = self._previous_pass, number
        bubble = self._schedule.keeps_sums and tokens == 1 and following == before != number
        return end + 1 + int(bubble)

    def _reserve(self, end: int) -> int:
        """When the last entry of a block may be issued, at the earliest in cycle ``end``."""
        schedule = self._schedule
        end = max(end, self._drained[-schedule.drain_banks])
        needed = self._captured + schedule.units - schedule.output_depth
        if needed > 0:
            end = max(end, self._popped[needed - 1] + 1)
        return end

    def _finish_block(self, block: int, end: int, last: bool) -> Array:
        """Send a block's units through the gates; returns when their state entries are seen."""
        schedule, count = self._schedule, self._units[block]
        drain = max(end, self._drained[-1])
        self._drained = [*self._drained[1:], drain + count]
        self._captured += count
        entered = drain + ENTRY_LATENCY + schedule.drain_latency + np.arange(count)
        queued = entered + schedule.output_time + QUEUE_LATENCY
        self._popped.extend(self._sink.take(queued, last).tolist())
        if not schedule.layer.recurrent:
            return entered
        return entered + schedule.operand_time + ENCODER_LATENCY


def walk(start: int, entries: int, visible: Array, closed: int) -> int:
    """Cycle of a pass's last entry: the pass starts in cycle ``start`` and waits for the state.

    ``visible`` are the cycles from which on the state's entries are there, the pass's last ones;
    ``closed`` is when it is known that they are all.
    """
    if closed <= start or not len(visible):
        return max(start + max(entries, 1) - 1, closed)
    # An entry is issued when its successor is there; the last one when the list is complete.
    waits = visible[1 - min(entries - len(visible), 1) :]
    first = entries - 1 - len(waits)
    before = np.arange(first, entries - 1)
    latest = int(np.max(waits - before, initial=start))
    return max(latest + entries - 1, closed)


class Columns:
    """The timesteps' lists in the order in which a layer meets them."""

    def __init__(self, trace: LayerTrace, lengths: Sequence[int]):
        self._steps = [(s, t) for s, length in enumerate(lengths) for t in range(length)]
        self._trace = trace
        self._at = 0

    def next(self, layer: IntegerLayer) -> list[Array]:
        """Which elements of each operand fire, bool (size,)."""
        sequence, time = self._steps[self._at]
        self._at += 1
        return [self._trace.fired[operand.name][sequence, time] for operand in layer.operands]
