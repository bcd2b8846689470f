"""The index of a vector's largest element."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .rescale import shape_of
from .stream_layout import stream_of

__all__ = ["ArgMax"]


class ArgMax(wiring.Component):
    """Takes an element a cycle and gives the index of each vector's largest one.

    The index leaves a cycle after its vector's last element came; while it waits for its reader,
    nothing is taken.

    Parameters
    ----------
    source, target : Format
        Of elements and indices.
    size : int
        Elements of a vector.

    Members
    -------
    i : In(stream of stream_of)
        Elements.
    o : Out(stream of stream_of)
        Indices, the first one of equals; each is the end of its vector.
    """

    def __init__(self, source, target, size):
        self._source = source
        self._size = size
        super().__init__({"i": In(stream_of(source)), "o": Out(stream_of(target))})

    def elaborate(self, platform):
        m = Module()
        index, best = Signal(range(self._size)), Signal(range(self._size))
        largest = Signal(shape_of(self._source), reset_less=True)
        better, take = Signal(), Signal()
        winner = Signal.like(best)
        value = self.i.payload.value
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            better.eq((index == 0) | (value > largest)),
            winner.eq(Mux(better, index, best)),
            self.o.payload.end.eq(1),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            m.d.sync += [best.eq(winner), index.eq(index + 1)]
            with m.If(better):
                m.d.sync += largest.eq(value)
            with m.If(self.i.payload.end):
                m.d.sync += [
                    index.eq(0),
                    self.o.valid.eq(1),
                    self.o.payload.value.eq(winner),
                    self.o.payload.last.eq(self.i.payload.last),
                ]
        return m
