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
        super().__init__(
            {"captured": In(1), "tail": In(1), "popped": In(1), "fits": Out(1, init=1)}
        )

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        full, banks = schedule.units, schedule.drain_banks
        tail = schedule.layer.channels - (schedule.blocks - 1) * full

        units = Signal(range(full + 1))
        busy = Signal(range(banks * full + 2))  # cycles until the drain has emptied all its banks
        newest = Signal.like(units)  # units of the block that came last
        credit = Signal(range(schedule.output_depth + 1), init=schedule.output_depth)
        m.d.comb += units.eq(Mux(self.tail, tail, full))

        def fits(busy, newest, credit):
            # The oldest bank is free once no more than the newer one is left.
            return (busy <= (newest + 1 if banks > 1 else 1)) & (credit >= full)

        # Whether a block ends now is known late: both cases are worked out beside it.
        idle_busy, idle_credit = Signal.like(busy), Signal.like(credit)
        next_busy, next_credit = Signal.like(busy), Signal.like(credit)
        m.d.comb += [
            idle_busy.eq(Mux(busy == 0, 0, busy - 1)),
            idle_credit.eq(credit + self.popped),
            next_busy.eq(idle_busy + units),
            next_credit.eq(idle_credit - units),
        ]
        with m.If(self.captured):
            m.d.sync += [
                busy.eq(next_busy),
                credit.eq(next_credit),
                newest.eq(units),
                self.fits.eq(fits(next_busy, units, next_credit)),
            ]
        with m.Else():
            m.d.sync += [
                busy.eq(idle_busy),
                credit.eq(idle_credit),
                self.fits.eq(fits(idle_busy, newest, idle_credit)),
            ]
        return m
