"""Room for a finished block downstream of the lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Reservation"]


class Reservation(wiring.Component):
    """Tells whether a block that ends now finds a drain bank and room in the output queue.

    Parameters
    ----------
    schedule : LayerSchedule
        Units a block, drain banks, depth of the output queue.

    Members
    -------
    captured : In(1)
        A block ends in this cycle.
    tail : In(1)
        It is the timestep's last one, which may have fewer units.
    popped : In(1)
        An element leaves the output queue.
    fits : Out(1)
        A block may end in this cycle.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        super().__init__({"captured": In(1), "tail": In(1), "popped": In(1), "fits": Out(1)})

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        full, banks = schedule.units, schedule.drain_banks
        tail = schedule.layer.units - (schedule.blocks - 1) * full

        units = Signal(range(full + 1))
        busy = Signal(range(banks * full + 2))  # cycles until the drain has emptied all its banks
        newest = Signal.like(units)  # units of the block that came last
        credit = Signal(range(schedule.output_depth + 1), init=schedule.output_depth)
        m.d.comb += [
            units.eq(Mux(self.tail, tail, full)),
            # The oldest bank is free once no more than the newer one is left.
            self.fits.eq((busy <= (1 + newest if banks > 1 else 1)) & (credit >= full)),
        ]
        remaining = Mux(busy == 0, 0, busy - 1)
        m.d.sync += [
            busy.eq(remaining + Mux(self.captured, units, 0)),
            credit.eq(credit + self.popped - Mux(self.captured, units, 0)),
        ]
        with m.If(self.captured):
            m.d.sync += newest.eq(units)
        return m
