"""The engine of attention."""

from amaranth.hdl import Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.attention_schedule import AttentionSchedule
from ..compiler.stage_schedule import ENTRY_LATENCY
from .attention_lanes import AttentionLanes
from .attention_memory import AttentionMemory
from .attention_sequencer import AttentionSequencer
from .delay import delayed
from .query_list import QueryList
from .rescale import Rescale
from .scalar_multiplier import ScalarMultiplier
from .softmax import Softmax
from .stream_layout import stream_of
from .sum_drain import SumDrain

__all__ = ["Attention"]

ENTRY_TIME = 2  # from the address of a list's entry to the entry, registered


class Attention(wiring.Component):
    """Computes attention, query after query and sequence after sequence.

    Takes and gives an element a cycle. Keys and values of later timesteps are written while a
    query runs, and the next query is listed. Only the sequencer waits: for a query and the keys
    that it meets, for the weights, and for room downstream.

    Parameters
    ----------
    schedule : AttentionSchedule
        What is computed and how it is folded.

    Members
    -------
    query, key, value : In(stream of stream_of)
        Vectors.
    o : Out(stream of stream_of)
        Contexts; ``last`` marks all elements of a sequence's last one.
    """

    def __init__(self, schedule):
        if not isinstance(schedule, AttentionSchedule):
            raise TypeError(f"Schedule must be an AttentionSchedule, not {schedule!r}")
        schedule.check()
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "query": In(stream_of(layer.query)),
                "key": In(stream_of(layer.key)),
                "value": In(stream_of(layer.value)),
                "o": Out(stream_of(layer.format)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        m.submodules.memory = store = AttentionMemory(schedule)
        m.submodules.queries = queries = QueryList(schedule)
        m.submodules.sequencer = sequencer = AttentionSequencer(schedule)
        m.submodules.softmax = softmax = Softmax(schedule)
        m.submodules.lanes = lanes = AttentionLanes(schedule)
        m.submodules.drain = drain = SumDrain(schedule.lanes, schedule.accumulator_width)
        wiring.connect(m, wiring.flipped(self.query), queries.i)
        wiring.connect(m, wiring.flipped(self.key), store.key)
        wiring.connect(m, wiring.flipped(self.value), store.value)
        m.d.comb += [
            store.forget.eq(
                delayed(m, sequencer.finished, schedule.forget_latency, "forget", reset_less=False)
            ),
            queries.released.eq(sequencer.released),
            queries.address.eq(sequencer.query_address),
            softmax.address.eq(sequencer.weight_address),
            sequencer.query_ready.eq(queries.ready),
            sequencer.query_count.eq(queries.count),
            sequencer.query_last.eq(queries.last),
            sequencer.written.eq(store.written),
            sequencer.complete.eq(store.complete),
            sequencer.forgotten.eq(store.forget),
            sequencer.wrote.eq(softmax.wrote),
            sequencer.closed.eq(softmax.closed),
        ]

        # List entries (cycle 1, 2), their address (3), the word (4), products (6) and sums (7).
        tokens = [sequencer.token]
        for cycle in range(1, schedule.score_latency + 1):
            register = Signal(sequencer.token.shape(), name=f"token_{cycle}")
            m.d.sync += register.eq(tokens[-1])
            tokens.append(register)
        query = Signal(queries.entry.shape(), name="query_entry", reset_less=True)
        weight = Signal(softmax.entry.shape(), name="weight_entry", reset_less=True)
        address = Signal.like(store.address, reset_less=True)
        entering = tokens[ENTRY_TIME]
        m.d.sync += [query.eq(queries.entry), weight.eq(softmax.entry)]
        with m.If(entering.context):
            m.d.sync += address.eq(entering.base + weight.index)
        with m.Else():
            m.d.sync += address.eq(entering.base + query.index)
        m.d.comb += [
            store.address.eq(address),
            lanes.query.eq(query.value),
            lanes.index.eq(query.index),
            lanes.weight.eq(weight.value),
            lanes.score.eq(entering.score),
            lanes.context.eq(entering.context),
            lanes.real.eq(entering.real),
            lanes.start.eq(entering.start),
            lanes.word.eq(store.data),
        ]

        # Blocks of scores and of weighted sums leave through the same registers.
        scored, weighed = tokens[schedule.score_latency], tokens[ENTRY_LATENCY]
        weighs = weighed.context & weighed.captured
        m.d.comb += [
            drain.sums.eq(lanes.sums),
            drain.captured.eq(weighs | (scored.score & scored.captured)),
            drain.units.eq(scored.units),
            drain.final.eq(scored.final),
        ]
        context, last = Signal(), Signal()
        with m.If(weighs):
            m.d.comb += [drain.units.eq(weighed.units), drain.final.eq(weighed.final)]
        with m.If(drain.captured):
            m.d.sync += [context.eq(weighs), last.eq(weighed.last)]
        m.d.comb += [
            softmax.valid.eq(drain.valid & ~context),
            softmax.score.eq(drain.value),
            softmax.last.eq(drain.last),
        ]
        self._connect_output(m, drain, drain.valid & context, last, softmax, sequencer)
        return m

    def _connect_output(self, m, drain, valid, last, softmax, sequencer):
        """Weighted sums are multiplied with the reciprocal, rounded, and wait for their reader."""
        schedule, layer = self._schedule, self._schedule.layer
        m.submodules.normalise = normalise = ScalarMultiplier(
            layer.weighted.width, layer.inverse.target.width
        )
        m.submodules.rounding = rounding = Rescale(layer.context, layer.format)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=self.o.payload.shape().size, depth=schedule.output_depth
        )
        cycles = schedule.output_latency
        element = Signal(self.o.payload.shape())
        m.d.comb += [
            normalise.a.eq(drain.value),
            normalise.b.eq(softmax.reciprocal),
            rounding.i.eq(normalise.p),
            element.value.eq(rounding.o),
            element.last.eq(delayed(m, last, cycles, "last")),
            element.end.eq(delayed(m, drain.last, cycles, "end")),
            queue.w_data.eq(element),
            queue.w_en.eq(delayed(m, valid, cycles, "valid", reset_less=False)),
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
            sequencer.popped.eq(self.o.valid & self.o.ready),
        ]
