"""Selection of a sequence's last timestep."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .stream_layout import stream_of

__all__ = ["LastStep"]


class LastStep(wiring.Component):
    """Passes the elements of a sequence's last timestep and drops all others, without delay.

    Parameters
    ----------
    format : Format
        Of the elements.

    Members
    -------
    i, o : In, Out(stream of stream_of)
        Elements; ``last`` marks all those of the last timestep.
    """

    def __init__(self, format):
        signature = stream_of(format)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        last = self.i.payload.last
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & last),
            self.i.ready.eq(self.o.ready | ~last),
        ]
        return m
