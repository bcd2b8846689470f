"""Lists of the elements of queries."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import Operand, Skip
from .encoder import Encoder, entry_layout, index_width
from .receiver import Receiver
from .stream_layout import stream_of

__all__ = ["QueryList", "query_operand"]


def query_operand(layer):
    """A query as an operand of products, and what is skipped of it."""
    operand = Operand("q", 0, 0, layer.size, layer.query, 0)
    return operand, Skip.ZERO if layer.skips_zeros and layer.form == "dot" else Skip.NONE


class QueryList(wiring.Component):
    """Lists queries, one while the one before is walked; an element a cycle.

    Parameters
    ----------
    schedule : AttentionSchedule
        Size, format, and what is skipped.

    Members
    -------
    i : In(stream of stream_of)
        Elements; ``last`` counts on a vector's last one.
    released : In(1)
        The older list has been walked for the last time.
    ready : Out(1)
        The older list is complete.
    count : Out
        Its entries.
    last : Out(1)
        It is a sequence's last query.
    address : In
        Entry to read.
    entry : Out(entry_layout)
        The entry, a cycle after its address.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        self._operand, self._skip = query_operand(layer)
        super().__init__(
            {
                "i": In(stream_of(layer.query)),
                "released": In(1),
                "ready": Out(1),
                "count": Out(range(layer.size + 1)),
                "last": Out(1),
                "address": In(index_width(layer.size)),
                "entry": Out(entry_layout(self._operand, self._skip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = Receiver(self._operand, self._skip)
        m.submodules.encoder = encoder = Encoder(self._operand, self._skip, self._schedule.target)
        for name in ("index_ahead", "valid", "index", "value", "fresh", "buffer", "last"):
            m.d.comb += getattr(encoder, name).eq(getattr(receiver, name))
        older = Signal()
        m.d.comb += [
            receiver.i.valid.eq(self.i.valid),
            receiver.i.payload.value.eq(self.i.payload.value),
            receiver.i.payload.last.eq(self.i.payload.last),
            self.i.ready.eq(receiver.i.ready),
            receiver.released.eq(self.released),
            encoder.listed.eq(1),
            encoder.read_buffer.eq(older),
            encoder.read_address.eq(self.address),
            self.entry.eq(encoder.entry),
            self.last.eq(receiver.lasts.bit_select(older, 1)),
        ]
        m.d.sync += older.eq(older ^ self.released)
        counts, ready = [], []
        for buffer in range(2):
            count = Signal(self.count.shape(), name=f"count_{buffer}")
            complete = Signal(name=f"complete_{buffer}")
            here = encoder.wrote_buffer == buffer
            m.d.sync += count.eq(count + (encoder.wrote & here))
            with m.If(encoder.closed & here):
                m.d.sync += complete.eq(1)
            with m.If(self.released & (older == buffer)):
                m.d.sync += [count.eq(0), complete.eq(0)]
            counts.append(count)
            ready.append(complete)
        with m.If(older):
            m.d.comb += [self.count.eq(counts[1]), self.ready.eq(ready[1])]
        with m.Else():
            m.d.comb += [self.count.eq(counts[0]), self.ready.eq(ready[0])]
        return m
