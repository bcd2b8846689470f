"""Reversal of sequences."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .ram_style import ram_attributes
from .stream_layout import stream_of

__all__ = ["Reverser"]


class Reverser(wiring.Component):
    """Gives each sequence back to front; an element a cycle, one read while the next is written.

    A sequence's first element is there two cycles after its last one was taken. Stalls while two
    sequences wait to be read. Sequences must be of ``max_steps`` timesteps at most, which the
    entrance of the accelerator sees to.

    Parameters
    ----------
    format : Format
        Of the elements.
    size : int
        Elements of a vector.
    max_steps : int
        Timesteps of the longest sequence.
    target : Target
        Of the memory.

    Members
    -------
    i : In(stream of stream_of)
        Elements.
    o : Out(stream of stream_of)
        Elements; ``last`` marks all those of the last timestep.
    """

    def __init__(self, format, size, max_steps, target):
        self._size = size
        self._max_steps = max_steps
        self._target = target
        signature = stream_of(format)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        size, words = self._size, self._size * self._max_steps
        m.submodules.memory = store = memory.Memory(
            shape=len(self.i.payload.value),
            depth=2 * words,
            init=[],
            attrs=ram_attributes(2 * words, self._target),
        )
        write, read = store.write_port(), store.read_port()
        held = Signal(range(3))  # sequences that are complete and not read
        closes, released = Signal(), Signal()
        starts = [Signal(range(2 * words), name=f"start_{bank}") for bank in range(2)]

        # Writing: vectors one after the other from the bank's first word on.
        into, row, column = Signal(), Signal(range(2 * words)), Signal(range(size))
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(held != 2),
            take.eq(self.i.valid & self.i.ready),
            closes.eq(take & self.i.payload.end & self.i.payload.last),
            write.addr.eq(row + column),
            write.data.eq(self.i.payload.value),
            write.en.eq(take),
        ]
        with m.If(take):
            m.d.sync += column.eq(column + 1)
            with m.If(self.i.payload.end):
                m.d.sync += [column.eq(0), row.eq(row + size)]
        with m.If(closes):
            m.d.sync += [into.eq(~into), row.eq(Mux(into, 0, words))]
            for bank, start in enumerate(starts):
                with m.If(into == bank):
                    m.d.sync += start.eq(row)
        m.d.sync += held.eq(held + closes - released)

        # Reading: from the last vector's start back to the bank's first word.
        source, fresh = Signal(), Signal(init=1)
        place, at, index = Signal.like(row), Signal.like(row), Signal.like(column)
        issue, final, ending = Signal(), Signal(), Signal()
        m.d.comb += [
            at.eq(Mux(fresh, Mux(source, starts[1], starts[0]), place)),
            final.eq(at == Mux(source, words, 0)),
            ending.eq(index == size - 1),
            issue.eq((held != 0) & (~self.o.valid | self.o.ready)),
            released.eq(issue & final & ending),
            read.addr.eq(at + index),
            read.en.eq(issue),
            self.o.payload.value.eq(read.data),
        ]
        with m.If(issue):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.last.eq(final),
                self.o.payload.end.eq(ending),
                fresh.eq(released),
                source.eq(source ^ released),
                place.eq(Mux(ending, at - size, at)),
                index.eq(Mux(ending, 0, index + 1)),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
