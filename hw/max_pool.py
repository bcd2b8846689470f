"""The largest value of each feature over a sequence."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .rescale import shape_of
from .stream_layout import stream_of

__all__ = ["MaxPool"]


class MaxPool(wiring.Component):
    """Takes an element a cycle and gives one vector a sequence, its maxima over all timesteps.

    A maximum leaves a cycle after its element of the last timestep came; while it waits for its
    reader, nothing is taken.

    Parameters
    ----------
    format : Format
        Of the elements.
    size : int
        Elements of a vector.

    Members
    -------
    i : In(stream of stream_of)
        Elements; ``last`` on all those of a sequence's last timestep.
    o : Out(stream of stream_of)
        Maxima.
    """

    def __init__(self, format, size):
        self._format = format
        self._size = size
        signature = stream_of(format)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = store = memory.Memory(
            shape=shape_of(self._format), depth=max(2, self._size), init=[]
        )
        write = store.write_port()
        read = store.read_port(transparent_for=[write])
        index, fresh = Signal(range(self._size)), Signal(init=1)
        take, moves = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(moves),
            take.eq(self.i.valid & self.i.ready),
            read.addr.eq(index),
            read.en.eq(moves),
        ]

        # Beside the memory's register: the element that its maximum so far is read for.
        held = Signal(self.i.payload.shape(), reset_less=True)
        valid, alone, place = Signal(), Signal(), Signal.like(index)
        largest = Signal(shape_of(self._format))
        m.d.comb += [
            largest.eq(Mux(alone | (held.value > read.data), held.value, read.data)),
            self.o.payload.eq(held),
            self.o.payload.value.eq(largest),
            self.o.valid.eq(valid & held.last),
            moves.eq(~self.o.valid | self.o.ready),
            write.addr.eq(place),
            write.data.eq(largest),
            write.en.eq(valid),
        ]
        with m.If(moves):
            m.d.sync += [
                valid.eq(take),
                held.eq(self.i.payload),
                alone.eq(fresh),
                place.eq(index),
            ]
        with m.If(take):
            m.d.sync += index.eq(index + 1)
            with m.If(self.i.payload.end):
                m.d.sync += [index.eq(0), fresh.eq(self.i.payload.last)]
        return m
