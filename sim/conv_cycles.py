"""The cycle model of an engine that walks windows."""

from dataclasses import dataclass

import numpy as np

from ..compiler.conv_schedule import CLOSE_LATENCY, PASSES_AHEAD, SPAN_LATENCY, Spans
from ..compiler.schedule import QUEUE_LATENCY, LayerSchedule
from .engine_cycles import Columns, EngineModel, listing
from .stream_cycles import LONG_AGO, Consumer

__all__ = ["ConvolutionModel"]

Array = np.ndarray


@dataclass(frozen=True)
class Walks:
    """What the passes of each pixel's window take, whatever they wait for; int64 (pixels,).

    The last entry is issued so many cycles, or more, after the entry that was issued before the
    pass; after the pass's first span was asked for; and after the first one of the state was.

    Parameters
    ----------
    issued, asked, state : numpy.ndarray
        These three.
    """

    issued: Array
    asked: Array
    state: Array

    @classmethod
    def of(cls, inputs: Array, states: Array) -> "Walks":
        """Of windows with so many entries in each span, int64 (pixels, spans of an operand).

        A span waits until the next one with entries is known, the last of a pass until the pass
        is. From there on its own entries and all later ones follow.
        """
        first = inputs.shape[1]
        counts = np.concatenate([inputs, states], axis=1)
        counts[counts.sum(axis=1) == 0, 0] = 1  # what stands in for an empty window
        places = np.arange(counts.shape[1])
        rest = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]  # entries from a span on
        latest = np.maximum.accumulate(np.where(counts > 0, places, -1), axis=1)
        before = np.concatenate([np.full((len(counts), 1), -1), latest[:, :-1]], axis=1)
        follows = np.take_along_axis(rest, np.maximum(before, 0), axis=1)
        follows += SPAN_LATENCY + QUEUE_LATENCY + np.where(places < first, places, places - first)
        follows = np.where((counts > 0) & (before >= 0), follows, LONG_AGO)
        closed = np.take_along_axis(rest, latest[:, -1:], axis=1)[:, 0]
        closed += states.shape[1] - 1 + SPAN_LATENCY + CLOSE_LATENCY + QUEUE_LATENCY
        return cls(
            issued=rest[:, 0],
            asked=follows[:, :first].max(axis=1),
            state=np.maximum(follows[:, first:].max(axis=1), closed),
        )


class ConvolutionModel(EngineModel):
    """One convolutional layer. Takes its input frame by frame; a complete one runs a timestep."""

    def __init__(self, schedule: LayerSchedule, trace: Columns, sink: Consumer):
        super().__init__(schedule, trace, sink)
        operands = schedule.layer.operands
        spans = [Spans.of(operand) for operand in operands]
        self._places = [each.places() for each in spans]
        self._spans = [each.count for each in spans]
        self._needed = spans[1].needed() - 1
        self._asked = LONG_AGO  # when the last span was asked for
        self._issued = LONG_AGO  # when the last entry was issued
        self._ended = [LONG_AGO] * PASSES_AHEAD  # when the lanes were done with passes

    def _run_timestep(self, ready: int, last: bool) -> None:
        """Walk all windows of a frame whose list is complete from cycle ``ready`` on.

        The spans of the state are asked for when the pixels that a window needs are there.
        """
        schedule, layer = self._schedule, self._schedule.layer
        folded, drain = schedule.output, self._drains[0]
        counts = [
            self._counts(places, fired.reshape(-1, operand.channels).sum(axis=1))
            for places, fired, operand in zip(
                self._places, self._columns.next(layer), layer.operands, strict=True
            )
        ]
        walks = Walks.of(*counts)
        there: Array = np.full(layer.pixels, ready)
        if not self._first:
            there = self._state_visible[layer.channels - 1 :: layer.channels]
        state_times: list[Array] = []
        inputs, states = self._spans
        for needed, of_issued, of_asked, of_state in zip(
            *(part.tolist() for part in (there[self._needed], *vars(walks).values())), strict=True
        ):
            for number in range(schedule.passes):
                block, fold = divmod(number, folded.folds)
                asked = max(ready, self._asked + 1, self._ended[-PASSES_AHEAD] + 1)
                state = max(asked + inputs, needed)
                self._asked = state + states - 1
                end = max(self._issued + of_issued, asked + of_asked, state + of_state)
                if fold == folded.folds - 1:
                    end = drain.reserve(end)
                    state_times.append(self._finish_block(drain, block, end, last))
                self._issued = end
                self._ended = [*self._ended[1:], end]
        self.released.append(end)
        self._first = last
        entered = np.concatenate(state_times)
        self._settle(folded, entered)
        self._state_visible = listing(folded, entered)

    @staticmethod
    def _counts(places: tuple[Array, Array], fired: Array) -> Array:
        """Entries of each span (pixels, spans), given those of each pixel of the frame."""
        ends = np.concatenate([[0], np.cumsum(fired)])
        found: Array = ends[places[1]] - ends[places[0]]
        return found
