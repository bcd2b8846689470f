"""Neighbours for a component whose speed and size are measured on its own."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Harness"]


class Harness(wiring.Component):
    """A component between two shift registers: every port next to a flip-flop, three pins in all.

    Without it a device's pins would have to hold the ports, and paths from pins are not timed.

    Parameters
    ----------
    component : wiring.Component
        What is measured; becomes the submodule ``design``. Its members must be plain ports.

    Members
    -------
    shift_in : In(1)
        Feeds all inputs, one after the other.
    load : In(1)
        Takes all outputs up at once.
    shift_out : Out(1)
        Sends them out.
    """

    shift_in: In(1)
    load: In(1)
    shift_out: Out(1)

    def __init__(self, component):
        self._component = component
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.design = self._component
        inputs, outputs = [], []
        for _, member, value in self._component.signature.flatten(self._component):
            (outputs if member.flow is Out else inputs).append(Value.cast(value))

        if inputs:
            taken = Signal(len(Cat(inputs)))
            m.d.sync += taken.eq(Cat(self.shift_in, taken))
            m.d.comb += Cat(inputs).eq(taken)
        if outputs:
            given = Signal(len(Cat(outputs)))
            m.d.sync += given.eq(given << 1)
            with m.If(self.load):
                m.d.sync += given.eq(Cat(outputs))
            m.d.comb += self.shift_out.eq(given[-1])
        return m
