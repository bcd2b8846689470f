"""Windows of timesteps side by side."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .ram_style import ram_attributes
from .stream_layout import stream_of

__all__ = ["Window"]


class Window(wiring.Component):
    """A ring of timesteps, read a window at a time; an element in and an element out a cycle.

    A window's first element is there two cycles after the last element that it waits for was taken.
    Stalls while the ring is full, or two sequences that are complete are in it.

    Parameters
    ----------
    layer : Window
        What is computed.
    format : Format
        Of the elements.
    size : int
        Elements of a timestep.
    target : Target
        Of the memory.

    Members
    -------
    i : In(stream of stream_of)
        Elements; ``last`` counts on a vector's last element.
    o : Out(stream of stream_of)
        Elements of windows; ``last`` marks all those of the last one.
    error : Out(1)
        In this cycle a sequence turns out to be too short for a window.
    """

    def __init__(self, layer, format, size, target):
        self._layer = layer
        self._size = size
        self._target = target
        signature = stream_of(format)
        super().__init__({"i": In(signature), "o": Out(signature), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        layer, size, rows = self._layer, self._size, self._layer.held
        words = rows * size
        m.submodules.memory = store = memory.Memory(
            shape=len(self.i.payload.value),
            depth=words,
            init=[],
            attrs=ram_attributes(words, self._target),
        )
        write, read = store.write_port(), store.read_port()
        address = range(words)

        def beyond(place, timesteps):
            """The word that is so many timesteps further on in the ring."""
            there, over = place + timesteps * size, Signal(address)
            m.d.comb += over.eq(Mux(there >= words, there - words, there))
            return over

        # Of the sequence that is written and the one before it: timesteps from the first one that
        # a window still shows, whether that is all, and where the sequence begins.
        into, source = Signal(), Signal()
        have = [Signal(range(rows + 1), name=f"have{number}") for number in (0, 1)]
        ended = [Signal(name=f"ended{number}") for number in (0, 1)]
        starts = [Signal(address, name=f"start{number}") for number in (0, 1)]

        row, column, fresh = Signal(address), Signal(range(size)), Signal(init=1)
        take, came = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~Array(ended)[into] & (have[0] + have[1] != rows)),
            take.eq(self.i.valid & self.i.ready),
            came.eq(take & self.i.payload.end),
            write.addr.eq(row + column),
            write.data.eq(self.i.payload.value),
            write.en.eq(take),
        ]
        with m.If(take):
            m.d.sync += column.eq(column + 1)
            with m.If(fresh):
                m.d.sync += Array(starts)[into].eq(row)
        with m.If(came):
            last = self.i.payload.last
            m.d.sync += [
                column.eq(0),
                row.eq(beyond(row, 1)),
                fresh.eq(last),
                Array(ended)[into].eq(last),
                into.eq(into ^ last),
            ]

        # A window begins with the timestep at ``place``, and with so many zeros of the padding.
        left, right = layer.padding
        zeros, place, first = Signal(range(left + 1), init=left), Signal(address), Signal(init=1)
        begin, known, over = Signal(address), Signal(range(rows + 1)), Signal()
        m.d.comb += [
            begin.eq(Mux(first, beyond(Array(starts)[source], rows - left), place)),
            known.eq(Array(have)[source]),
            over.eq(Array(ended)[source]),
        ]
        tap, shown = Signal(range(layer.kernel)), Signal(range(layer.span + 1))
        hop, index = Signal(address), Signal(range(size))
        at, inside, final = Signal(address), Signal(), Signal()
        issue, ending, done = Signal(), Signal(), Signal()
        m.d.comb += [
            # Another window follows if there is the timestep of this number.
            final.eq(over & (known <= layer.span - zeros + layer.stride - right)),
            issue.eq(
                (over | (known >= layer.span - zeros + max(1, layer.stride - right)))
                & (~self.o.valid | self.o.ready)
            ),
            ending.eq(index == size - 1),
            done.eq(issue & ending & (tap == layer.kernel - 1)),
            at.eq(Mux(tap == 0, begin, hop)),
            inside.eq((shown >= zeros) & (shown - zeros < known)),
            read.addr.eq(at + index),
            read.en.eq(issue),
            self.error.eq(done & over & (known <= layer.lost)),
        ]
        zero = Signal(reset_less=True)
        m.d.comb += self.o.payload.value.eq(Mux(zero, 0, read.data))
        with m.If(issue):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.last.eq(final),
                self.o.payload.end.eq(done),
                zero.eq(~inside),
                index.eq(index + 1),
            ]
            with m.If(ending):
                m.d.sync += [
                    index.eq(0),
                    tap.eq(tap + 1),
                    shown.eq(shown + layer.dilation),
                    hop.eq(beyond(at, layer.dilation if layer.kernel > 1 else 0)),
                ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        dropped = Signal(range(rows + 1))
        m.d.comb += dropped.eq(
            Mux(final, known, Mux(zeros >= layer.stride, 0, layer.stride - zeros))
        )
        for number in (0, 1):
            mine = done & (source == number)
            m.d.sync += have[number].eq(
                have[number] + (came & (into == number)) - Mux(mine, dropped, 0)
            )
            with m.If(mine & final):
                m.d.sync += ended[number].eq(0)
        with m.If(done):
            m.d.sync += [
                tap.eq(0),
                shown.eq(0),
                place.eq(beyond(begin, layer.stride)),
                zeros.eq(Mux(zeros >= layer.stride, zeros - layer.stride, 0)),
                first.eq(final),
                source.eq(source ^ final),
            ]
            with m.If(final):
                m.d.sync += zeros.eq(left)
        return m
