"""The sequencer of windows: walks spans of lists, an entry a cycle, and is what stalls."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.conv_schedule import spans_ahead
from .conv_spans import SpanReader, span_layout
from .counter import counter
from .encoder import index_width
from .queue import Queue
from .reservation import Reservation

__all__ = ["WindowSequencer", "window_token_layout"]


def window_token_layout(schedule):
    """What accompanies an entry down the lanes."""
    return data.StructLayout(
        {
            "valid": 1,  # an entry is issued
            "real": 1,  # it is not the stand-in for an empty window
            "state": 1,  # it comes from the state's list
            "zero": 1,  # accumulators start from zero
            "load": 1,  # accumulators start from the kept sums
            "initial": 1,  # ... from the products of initial states
            "store": 1,  # the pass ends: sums are kept
            "captured": 1,  # the block ends: sums go to the gates
            "fold": range(schedule.folds),
            "slot": range(schedule.slots),
            "base": range(max(2, schedule.words)),
            "fresh": 1,  # the timestep is the first of its sequence, whose states are not loaded
            "last": 1,  # the timestep is the last of its sequence
            "buffer": 1,  # the lists that the timestep reads
        }
    )


class WindowSequencer(wiring.Component):
    """Walks the windows of all pixels, for each the passes, for each the spans with entries.

    The last entry of a block waits until the gate pipeline can take the block and the output queue
    its elements; so nothing downstream ever waits.

    Parameters
    ----------
    schedule : LayerSchedule
        A convolutional layer.

    Members
    -------
    firsts, lasts : In(2)
        For each buffer, whether its vector is the first or last one of a sequence.
    loaded : In(2)
        If the layer loads states: whether it is the first one, and its states were loaded.
    popped : In(1)
        An element leaves the output queue.
    address : Out
        Entry to read from the lists of ``token.buffer``.
    token : Out(window_token_layout)
        What is issued in this cycle.
    released : Out(1)
        The timestep's lists have been walked for the last time.

    All others are those of :class:`~deltaloom.hw.conv_spans.SpanReader`.
    """

    FROM_LISTS = ("x_closed", "x_closed_buffer", "h_pixel", "h_closed_buffer")
    ENDS = ("x_start", "x_end", "h_start", "h_end")

    def __init__(self, schedule):
        self._schedule = schedule
        self._reader = reader = SpanReader(schedule)
        address = max(index_width(operand.size) for operand in schedule.layer.operands)
        super().__init__(
            {
                **{name: In(getattr(reader, name).shape()) for name in self.FROM_LISTS + self.ENDS},
                "span_buffer": Out(1),
                "span_first": Out(reader.first.shape()),
                "span_behind": Out(reader.behind.shape()),
                "firsts": In(2),
                "lasts": In(2),
                **({"loaded": In(2)} if schedule.loads else {}),
                "popped": In(1),
                "address": Out(address),
                "token": Out(window_token_layout(schedule)),
                "released": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        m.submodules.reader = reader = self._reader
        m.submodules.reservation = reservation = Reservation(schedule.output)
        depth = 1 << spans_ahead(schedule.layer).bit_length()
        m.submodules.spans = spans = Queue(span_layout(schedule), depth, schedule.target)
        for name in self.FROM_LISTS + self.ENDS:
            m.d.comb += getattr(reader, name).eq(getattr(self, name))
        span, active = Signal(span_layout(schedule)), Signal()
        alone = Signal()  # the span has one entry left
        issue, end = Signal(), Signal()
        starts = self.firsts & ~self.loaded if schedule.loads else self.firsts  # from zero
        m.d.comb += [
            reader.firsts.eq(starts),
            reader.ended.eq(end),
            self.span_buffer.eq(reader.buffer),
            self.span_first.eq(reader.first),
            self.span_behind.eq(reader.behind),
            reservation.popped.eq(self.popped),
            spans.i.payload.eq(reader.span),
            spans.i.valid.eq(reader.valid),
            spans.o.ready.eq(~active | (issue & alone)),
        ]
        following = spans.o.payload
        with m.If(issue):
            m.d.sync += [
                span.start.eq(span.start + 1),
                span.count.eq(span.count - 1),
                span.first.eq(0),
                alone.eq(span.count == 2),
            ]
        with m.If(spans.o.ready):
            m.d.sync += [
                active.eq(spans.o.valid),
                span.eq(following),
                alone.eq(following.count == 1),
            ]

        fold, last_fold = counter(m, "fold", schedule.folds, end)
        number, last_pass = counter(m, "number", schedule.passes, end)
        slot, last_slot = counter(m, "slot", schedule.slots, end)
        base = Signal(self.token.base.shape(), name="pass_base")
        with m.If(end):
            m.d.sync += base.eq(Mux(last_pass, 0, base + schedule.columns))
        buffer = Signal()
        m.d.sync += buffer.eq(buffer ^ self.released)
        token = self.token
        m.d.comb += [
            issue.eq(active & (~alone | ~span.final | ~last_fold | reservation.fits)),
            end.eq(issue & alone & span.final),
            reservation.captured.eq(token.captured),
            reservation.tail.eq(last_pass),
            self.released.eq(end & last_slot),
            self.address.eq(span.start),
        ]
        first = self.firsts.bit_select(buffer, 1)
        zero = first if schedule.layer.skip.differs else 1
        fresh = starts.bit_select(buffer, 1)
        initial = zero & fresh if schedule.starts_from_sums else Const(0)
        m.d.comb += [
            token.valid.eq(issue),
            token.real.eq(span.real),
            token.state.eq(span.state),
            token.zero.eq(span.first & zero & ~initial),
            token.load.eq(span.first & (initial | ~zero)),
            token.initial.eq(initial),
            token.store.eq(end),
            token.captured.eq(end & last_fold),
            token.fold.eq(fold),
            token.slot.eq(slot),
            token.base.eq(base + span.offset),
            token.fresh.eq(fresh),
            token.last.eq(self.lasts.bit_select(buffer, 1)),
            token.buffer.eq(buffer),
        ]
        return m
