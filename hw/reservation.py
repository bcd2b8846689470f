"""Room for a finished block downstream of the lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Reservation"]


class Reservation(wiring.Component):
    """Tells whether a block that ends now finds a drain bank and room in the output queue.

    Parameters
    ----------
    schedule : StageSchedule
        Units a block, drain banks, depth of the output queue if the stage gives the output.

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
        tail = schedule.channels - (schedule.blocks - 1) * full
        pause = schedule.pause

        units = Signal(range(full + 1))
        cycles = Signal(range(full + pause + 1))  # that the drain takes for them
        busy = Signal(range(banks * (full + pause) + 2))  # cycles until it has emptied all banks
        newest = Signal.like(cycles)  # those of the block that came last
        depth = schedule.output_depth if schedule.leads_to_output else 0
        credit = Signal(range(depth + 1), init=depth)
        m.d.comb += [
            units.eq(Mux(self.tail, tail, full)),
            cycles.eq(Mux(self.tail, tail + pause, full)),
        ]

        def fits(busy, newest, credit):
            # The oldest bank is free once no more than the newer one is left.
            free = busy <= (newest + 1 if banks > 1 else 1)
            return free & (credit >= full) if depth else free

        # Whether a block ends now is known late: both cases are worked out beside it.
        idle_busy, idle_credit = Signal.like(busy), Signal.like(credit)
        next_busy, next_credit = Signal.like(busy), Signal.like(credit)
        m.d.comb += [
            idle_busy.eq(Mux(busy == 0, 0, busy - 1)),
            idle_credit.eq(credit + self.popped),
            next_busy.eq(idle_busy + cycles),
            next_credit.eq(idle_credit - units),
        ]
        with m.If(self.captured):
            m.d.sync += [
                busy.eq(next_busy),
                credit.eq(next_credit),
                newest.eq(cycles),
                self.fits.eq(fits(next_busy, cycles, next_credit)),
            ]
        with m.Else():
            m.d.sync += [
                busy.eq(idle_busy),
                credit.eq(idle_credit),
                self.fits.eq(fits(idle_busy, newest, idle_credit)),
            ]
        return m
