"""The cycle model of one engine.

It does not imitate the hardware cycle by cycle: an entry's cycle follows from the cycles of what it
waits for. Blocks, elements and timesteps are taken in their order, so every wait is known by then.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..compiler.integer import IntegerLayer, Operand
from ..compiler.schedule import (
    ENCODER_LATENCY,
    ENTRY_LATENCY,
    QUEUE_LATENCY,
    LayerSchedule,
    pause_after,
)
from ..compiler.stage_schedule import PASS_LATENCY, StageSchedule, StageTimes
from .layer_golden import LayerTrace
from .stream_cycles import LONG_AGO, Consumer, in_order

__all__ = ["Columns", "EngineModel"]

Array = np.ndarray


class DrainModel:
    """When the units of a stage's blocks enter the gate pipeline, and when there is room."""

    def __init__(self, schedule: StageSchedule):
        self.schedule = schedule
        self._left = [LONG_AGO] * schedule.drain_banks  # when blocks have left
        self._captured = 0
        self.popped: list[int] = []  # when the elements of the output have left
        tail = schedule.channels - (schedule.blocks - 1) * schedule.units
        self._units = [schedule.units] * (schedule.blocks - 1) + [tail]

    def reserve(self, end: int) -> int:
        """When the last entry of a block may be issued, at the earliest in cycle ``end``."""
        end = max(end, self._left[0])
        if self.schedule.leads_to_output:
            needed = self._captured + self.schedule.units - self.schedule.output_depth
            if needed > 0:
                end = max(end, self.popped[needed - 1] + 1)
        return end

    def enter(self, block: int, end: int) -> Array:
        """Cycles in which the units of a block that ends in a cycle enter the gate pipeline."""
        count = self._units[block]
        start = max(end, self._left[-1])
        pause = self.schedule.pause if block == self.schedule.blocks - 1 else 0
        self._left = [*self._left[1:], start + count + pause]
        self._captured += count
        return start + ENTRY_LATENCY + self.schedule.drain_latency + np.arange(count)


class EngineModel:
    """One layer. Takes its input vector by vector; a complete vector runs a timestep."""

    def __init__(self, schedule: LayerSchedule, trace: "Columns", sink: Consumer):
        self._schedule = schedule
        self._columns = trace
        self._sink = sink
        self.released: list[int] = []
        self.settled = LONG_AGO  # from when on all that the timesteps compute is there
        self._pause = pause_after(schedule.layer.operands[0], schedule.layer.skip)
        self._taken = 0
        self._first = True
        self._next = 0
        self._late = 0
        self._state_visible = np.zeros(0, dtype=np.int64)
        self._previous_pass = 0
        self._drains = [DrainModel(stage) for stage in schedule.stages]

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
            ready = int(times[-1]) + self._schedule.receiver_latency + ENCODER_LATENCY
            self._run_timestep(ready + self._schedule.layer.operands[0].selected, last)
        return times

    def _run_timestep(self, ready: int, last: bool) -> None:
        """Walk all stages of a timestep whose input list is complete from cycle ``ready`` on."""
        schedule = self._schedule
        fired = self._columns.next(schedule.layer)
        decided = max(ready, self.released[-1] if self.released else ready)
        start = decided + 1
        if self.released and decided == self.released[-1]:
            start += self._late
        nothing = np.zeros(0, dtype=np.int64)
        visible, closed = nothing, ready
        if schedule.layer.recurrent and not self._first:
            visible, closed = entries_of(schedule.layer.operands[1], self._state_visible, fired[1])
        elif schedule.layer.recurrent and self._columns.loaded:
            visible, closed = np.full(int(fired[1].sum()), LONG_AGO), LONG_AGO
        for number, drain in enumerate(self._drains):
            stage = drain.schedule.stage
            x_count = int(fired[0].sum()) if stage.walks_input else 0
            listed, end, start = self._run_stage(
                number, x_count, visible, closed, decided, start, last
            )
            decided = end
            if number + 1 < len(self._drains):
                awaited = schedule.stages[number + 1].stage.awaited
                assert awaited is not None
                operand = schedule.layer.operands[awaited]
                visible, closed = entries_of(operand, listed, fired[awaited])
        # A pass that must leave a cycle for stored sums holds up the next timestep as well.
        self.released.append(end)
        self._late = start - end - 1
        self._first = last
        self._state_visible = listed

    def _run_stage(
        self,
        number: int,
        x_count: int,
        visible: Array,
        closed: int,
        decided: int,
        start: int,
        last: bool,
    ) -> tuple[Array, int, int]:
        """Walk the passes of a stage that begins in cycle ``start``, as is decided in another one.

        ``visible`` and ``closed`` are as in :func:`walk`. Returns when the entries of what the
        stage gives are seen, the last entry's cycle, and the first one of what follows.
        """
        schedule, drain = self._schedule, self._drains[number]
        folded, offset = drain.schedule, schedule.first_pass[number]
        ahead_done = 0
        if schedule.x_ahead and x_count and closed > decided:
            for at in range(folded.passes):
                end = start + x_count - 1
                ahead_done = at + 1
                over = closed <= end or ahead_done == folded.passes
                following = offset + (0 if over else at + 1)
                start = self._finish_pass(offset + at, following, x_count, end)
                if over:
                    break

        listed: list[Array] = []
        for at in range(folded.passes):
            entries = len(visible) + (0 if at < ahead_done else x_count)
            end = walk(start, entries, visible, closed)
            block, fold = divmod(at, folded.folds)
            if fold == folded.folds - 1:
                end = drain.reserve(end)
                listed.append(self._finish_block(drain, block, end, last))
            following = (offset + at + 1) % schedule.passes
            start = self._finish_pass(offset + at, following, max(entries, 1), end)
        entered = np.concatenate(listed)
        self._settle(folded, entered)
        given = listing(folded, entered)
        for before, follower in pairwise((folded, *folded.followers)):
            first = int(entered[-1]) + before.end_time + PASS_LATENCY
            entered = first + np.arange(follower.size)
            self._deliver(drain, follower, entered, last)
            self._settle(follower, entered)
            given = listing(follower, entered) if follower.given is not None else given
        return given, end, start

    def _settle(self, stage: StageTimes, entered: Array) -> None:
        """Note when what a stage makes of units is there."""
        self.settled = int(entered[-1]) + stage.settle_time + 1

    def _finish_pass(self, number: int, following: int, tokens: int, end: int) -> int:
        """First cycle in which the next pass may issue."""
        before, self._previous_pass = self._previous_pass, number
        bubble = self._schedule.keeps_sums and tokens == 1 and following == before != number
        return end + 1 + int(bubble)

    def _finish_block(self, drain: DrainModel, block: int, end: int, last: bool) -> Array:
        """Send a block's units through the gates; returns when they enter."""
        entered = drain.enter(block, end)
        self._deliver(drain, drain.schedule, entered, last)
        return entered

    def _deliver(self, drain: DrainModel, stage: StageTimes, entered: Array, last: bool) -> None:
        """Send what a stage makes of units to the sink, if it is the output."""
        if stage.gives_output:
            queued = entered + stage.output_time + QUEUE_LATENCY
            drain.popped.extend(self._sink.take(queued, last).tolist())


def listing(stage: StageTimes, entered: Array) -> Array:
    """When the list entries are seen that a stage gives for units that enter in some cycles."""
    return entered if stage.given is None else entered + stage.operand_time + ENCODER_LATENCY


def entries_of(operand: Operand, visible: Array, fired: Array) -> tuple[Array, int]:
    """When the entries of an awaited list are seen, and when it is known that they are all.

    ``visible`` is when its elements are seen, or would be. Where some are selected, they follow
    the last element.
    """
    last = int(visible[-1])
    if operand.selected and fired.any():
        return last + 1 + np.arange(operand.selected), last + operand.selected
    return visible[fired], last


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

    def __init__(self, trace: LayerTrace, lengths: Sequence[int], loaded: Array | None = None):
        self._steps = [(s, t) for s, length in enumerate(lengths) for t in range(length)]
        self._trace = trace
        self._loaded = loaded
        self._at = 0

    @property
    def loaded(self) -> bool:
        """Whether the sequence of the timestep that was met last starts from a given state."""
        return self._loaded is not None and bool(self._loaded[self._steps[self._at - 1][0]])

    def next(self, layer: IntegerLayer) -> list[Array]:
        """Which elements of each operand fire, bool (size,)."""
        sequence, time = self._steps[self._at]
        self._at += 1
        return [self._trace.fired[operand.name][sequence, time] for operand in layer.operands]
