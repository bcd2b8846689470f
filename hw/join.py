"""Several streams made one: side by side, or summed."""

from amaranth.hdl import Cat, EnableInserter, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .rescale import Rescale
from .stream_layout import stream_of

__all__ = ["Adder", "Join"]


class Join(wiring.Component):
    """A vector of each source, one after the other, as one vector; no delay.

    Parameters
    ----------
    format : Format
        Of all elements.
    sources : int
        Number of streams.

    Members
    -------
    i : In(stream of stream_of).array(sources)
        Vectors; their sequences end together.
    o : Out(stream of stream_of)
        Their concatenations; ``end`` on the end of the last source's vector alone.
    """

    def __init__(self, format, sources):
        signature = stream_of(format)
        super().__init__({"i": In(signature).array(sources), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        turn = Signal(range(len(self.i)))
        with m.Switch(turn):
            for place, source in enumerate(self.i):
                final = place == len(self.i) - 1
                with m.Case(place):
                    m.d.comb += [
                        self.o.payload.eq(source.payload),
                        self.o.payload.end.eq(source.payload.end & final),
                        self.o.valid.eq(source.valid),
                        source.ready.eq(self.o.ready),
                    ]
                    with m.If(source.valid & source.ready & source.payload.end):
                        m.d.sync += turn.eq(0 if final else place + 1)
        return m


class Adder(wiring.Component):
    """Sums an element of each source exactly and rounds it once; an element a cycle, one register.

    Parameters
    ----------
    layer : Sum
        What is computed.
    formats : sequence of Format
        Of the sources.

    Members
    -------
    i : In(stream of stream_of), i_0 to i_n
        Vectors of one size; their sequences end together.
    o : Out(stream of stream_of)
        Their sums.
    """

    def __init__(self, layer, formats):
        self._layer = layer
        self._formats = tuple(formats)
        sources = {f"i_{place}": In(stream_of(format)) for place, format in enumerate(formats)}
        super().__init__({**sources, "o": Out(stream_of(layer.format))})

    @property
    def sources(self):
        """The streams to sum, in order."""
        return [getattr(self, f"i_{place}") for place in range(len(self._formats))]

    def elaborate(self, platform):
        m = Module()
        exact = self._layer.exact_format(self._formats)
        take, last, end = Signal(), Signal(), Signal()
        m.submodules.rescale = rescale = EnableInserter(take)(Rescale(exact, self._layer.format))
        m.d.comb += [
            take.eq(Cat(s.valid for s in self.sources).all() & (~self.o.valid | self.o.ready)),
            rescale.i.eq(
                sum(
                    source.payload.value << (exact.frac - format.frac)
                    for source, format in zip(self.sources, self._formats, strict=True)
                )
            ),
            self.o.payload.value.eq(rescale.o),
            self.o.payload.last.eq(last),
            self.o.payload.end.eq(end),
        ]
        for source in self.sources:
            m.d.comb += source.ready.eq(take)
        with m.If(take):
            m.d.sync += [
                last.eq(self.sources[0].payload.last),
                end.eq(self.sources[0].payload.end),
                self.o.valid.eq(1),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
