"""One stream for several readers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .stream_layout import stream_of

__all__ = ["Fork"]


class Fork(wiring.Component):
    """Gives every element to each branch once, as soon as that branch is ready; no delay.

    The next element comes when all branches have taken this one.

    Parameters
    ----------
    format : Format
        Of the elements.
    branches : int
        Readers.

    Members
    -------
    i : In(stream of stream_of)
        Elements.
    o : Out(stream of stream_of).array(branches)
        The same for each branch.
    """

    def __init__(self, format, branches):
        signature = stream_of(format)
        super().__init__({"i": In(signature), "o": Out(signature).array(branches)})

    def elaborate(self, platform):
        m = Module()
        done = [Signal(name=f"done_{place}") for place in range(len(self.o))]
        served = [out.ready | had for out, had in zip(self.o, done, strict=True)]
        m.d.comb += self.i.ready.eq(Cat(served).all())
        for out, had in zip(self.o, done, strict=True):
            m.d.comb += [out.payload.eq(self.i.payload), out.valid.eq(self.i.valid & ~had)]
            m.d.sync += had.eq(self.i.valid & ~self.i.ready & (out.ready | had))
        return m
