"""The cycle model of an engine that walks windows."""

import numpy as np

from ..compiler.conv_schedule import CLOSE_LATENCY, PASSES_AHEAD, SPAN_LATENCY, Spans
from ..compiler.schedule import QUEUE_LATENCY, LayerSchedule
from .engine_cycles import Columns, EngineModel, listing
from .stream_cycles import LONG_AGO, Consumer

__all__ = ["ConvolutionModel"]

Array = np.ndarray


class ConvolutionModel(EngineModel):
    """One convolutional layer. Takes its input frame by frame; a complete one runs a timestep."""

    def __init__(self, schedule: LayerSchedule, trace: Columns, sink: Consumer):
        super().__init__(schedule, trace, sink)
        operands = schedule.layer.operands
        spans = [Spans.of(operand) for operand in operands]
        self._places = [each.places() for each in spans]
        self._needed = (spans[1].needed() - 1).tolist()
        self._asked = LONG_AGO  # when the last span was asked for
        self._issued = LONG_AGO  # when the last entry was issued
        self._ended = [LONG_AGO] * PASSES_AHEAD  # when the lanes were done with passes

    def _run_timestep(self, ready: int, last: bool) -> None:
        """Walk all windows of a frame whose list is complete from cycle ``ready`` on."""
        schedule, layer = self._schedule, self._schedule.layer
        folded, drain = schedule.output, self._drains[0]
        counts = [
            self._counts(places, fired.reshape(-1, operand.channels).sum(axis=1)).tolist()
            for places, fired, operand in zip(
                self._places, self._columns.next(layer), layer.operands, strict=True
            )
        ]
        there: Array = np.full(layer.pixels, ready)
        if not self._first:
            there = self._state_visible[layer.channels - 1 :: layer.channels]
        state_times: list[Array] = []
        for pixel in range(layer.pixels):
            needed = int(there[self._needed[pixel]])
            for number in range(schedule.passes):
                block, fold = divmod(number, folded.folds)
                asked = max(ready, self._asked + 1, self._ended[-PASSES_AHEAD] + 1)
                end = self._walk(counts[0][pixel], counts[1][pixel], asked, needed)
                if fold == folded.folds - 1:
                    end = drain.reserve(end)
                    state_times.append(self._finish_block(drain, block, end, last))
                self._issued = end
                self._ended = [*self._ended[1:], end]
        self.released.append(end)
        self._first = last
        self._state_visible = listing(folded, np.concatenate(state_times))

    @staticmethod
    def _counts(places: tuple[Array, Array], fired: Array) -> Array:
        """Entries of each span (pixels, spans), given those of each pixel of the frame."""
        ends = np.concatenate([[0], np.cumsum(fired)])
        found: Array = ends[places[1]] - ends[places[0]]
        return found

    def _walk(self, x: list[int], h: list[int], asked: int, needed: int) -> int:
        """Cycle of a pass's last entry, if there is room for its sums.

        The pass's first span is asked for in cycle ``asked``, those of the state from cycle
        ``needed`` on. A span is pushed when the next one comes that has entries.
        """
        state = max(asked + len(x), needed)
        times = [*range(asked, asked + len(x)), *range(state, state + len(h))]
        self._asked = times[-1]
        real = [(time, count) for time, count in zip(times, x + h, strict=True) if count]
        pushed = [time + SPAN_LATENCY for time, _ in real[1:]]
        pushed.append(times[-1] + SPAN_LATENCY + CLOSE_LATENCY)
        issued = self._issued
        lengths = [count for _, count in real] or [1]
        for time, count in zip(pushed, lengths, strict=True):
            issued = max(issued, time + QUEUE_LATENCY) + count
        return issued
