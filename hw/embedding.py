"""Rows of a table."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .ram_style import ram_attributes
from .rescale import shape_of
from .stream_layout import stream_of

__all__ = ["Embedding"]


class Embedding(wiring.Component):
    """Gives the row of each index, an element a cycle; the first one two cycles after its index.

    The next index is taken when the row's last element is read.

    Parameters
    ----------
    layer : Embedding
        The table.
    format : Format
        Of the indices.
    target : Target
        Of the memory.

    Members
    -------
    i : In(stream of stream_of)
        Indices, each a vector.
    o : Out(stream of stream_of)
        Rows; ``last`` marks all elements of the last one. That of a wrong index is zero.
    error : Out(1)
        The index that is taken in this cycle is not in the table.
    """

    def __init__(self, layer, format, target):
        self._layer = layer
        self._target = target
        super().__init__(
            {
                "i": In(stream_of(format)),
                "o": Out(stream_of(layer.output_format([format]))),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entries, size = self._layer.table.shape
        words = self._layer.table.ravel().tolist()
        m.submodules.table = table = memory.Memory(
            shape=shape_of(self._layer.format),
            depth=max(2, len(words)),
            init=words,
            attrs=ram_attributes(len(words), self._target, rom=True),
        )
        read = table.read_port()
        row, column = Signal(range(len(words))), Signal(range(size))
        busy, wrong, last, zero = Signal(), Signal(), Signal(), Signal(reset_less=True)
        take, issue, final = Signal(), Signal(), Signal()
        index = self.i.payload.value
        m.d.comb += [
            self.i.ready.eq(~busy | (issue & final)),
            take.eq(self.i.valid & self.i.ready),
            self.error.eq(take & ((index < 0) | (index >= entries))),
            issue.eq(busy & (~self.o.valid | self.o.ready)),
            final.eq(column == size - 1),
            read.addr.eq(row + column),
            read.en.eq(issue),
            self.o.payload.value.eq(Mux(zero, 0, read.data)),
        ]
        with m.If(issue):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.last.eq(last),
                self.o.payload.end.eq(final),
                zero.eq(wrong),
                column.eq(Mux(final, 0, column + 1)),
                busy.eq(~final),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            # Times the constant size, without a multiplier.
            shifts = [place for place in range(size.bit_length()) if size >> place & 1]
            m.d.sync += [
                row.eq(sum(index << place for place in shifts)),
                wrong.eq(self.error),
                last.eq(self.i.payload.last),
                busy.eq(1),
            ]
        return m
