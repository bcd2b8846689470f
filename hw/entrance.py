"""Entrance of an accelerator: marks vectors and cuts what is too long."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .rescale import shape_of
from .stream_layout import stream_of

__all__ = ["Entrance"]


class Entrance(wiring.Component):
    """Counts elements into vectors and vectors into sequences, without delay.

    A sequence may end at the end of a vector only; elsewhere its mark is dropped. One that is
    longer than ``max_steps`` is cut: what follows is the next sequence. Both are errors.

    Parameters
    ----------
    format : Format
        Of the elements.
    size : int
        Elements of a vector.
    max_steps : int or None
        Timesteps of the longest sequence; None for any.

    Members
    -------
    i : In(stream of value and last)
        Elements; ``last`` on the last one of a sequence.
    o : Out(stream of stream_of)
        The same, marked.
    error : Out(1)
        The element that is taken in this cycle breaks one of the rules.
    """

    def __init__(self, format, size, max_steps):
        self._size = size
        self._max_steps = max_steps
        element = data.StructLayout({"value": shape_of(format), "last": 1})
        super().__init__(
            {"i": In(stream.Signature(element)), "o": Out(stream_of(format)), "error": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        index = Signal(range(self._size))
        ending, cut, taken = Signal(), Signal(), Signal()
        last = self.i.payload.last
        m.d.comb += [
            ending.eq(index == self._size - 1),
            taken.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(self.o.ready),
            self.o.valid.eq(self.i.valid),
            self.o.payload.value.eq(self.i.payload.value),
            self.o.payload.last.eq(ending & (last | cut)),
            self.o.payload.end.eq(ending),
            self.error.eq(taken & ((last & ~ending) | (cut & ending & ~last))),
        ]
        with m.If(taken):
            m.d.sync += index.eq(index + 1)
            with m.If(ending):
                m.d.sync += index.eq(0)
        if self._max_steps is not None:
            step = Signal(range(self._max_steps))
            m.d.comb += cut.eq(step == self._max_steps - 1)
            with m.If(taken & ending):
                m.d.sync += step.eq(step + 1)
                with m.If(self.o.payload.last):
                    m.d.sync += step.eq(0)
        return m
