"""The start of a pass over vectors: its units, one after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.stage_schedule import PASS_LATENCY
from .delay import delayed

__all__ = ["VectorPass"]


class VectorPass(wiring.Component):
    """Counts through a vector once for each start, a unit a cycle; never stalls.

    Starts are at least as many cycles apart as there are units.

    Parameters
    ----------
    size : int
        Units.

    Members
    -------
    start : In(1)
        The first unit enters :attr:`latency` cycles later.
    flags : In(3)
        With the start; see :class:`~deltaloom.hw.gates.GatePipeline`.
    unit_before, unit_ahead, valid, unit, unit_flags : Out
        As of :class:`~deltaloom.hw.drain.Drain`.
    """

    latency = PASS_LATENCY

    def __init__(self, size):
        self._size = size
        unit = range(size)
        super().__init__(
            {
                "start": In(1),
                "flags": In(3),
                "unit_before": Out(unit),
                "unit_ahead": Out(unit),
                "valid": Out(1),
                "unit": Out(unit),
                "unit_flags": Out(3),
            }
        )

    def elaborate(self, platform):
        m = Module()
        running = Signal()
        flags = Signal(3)
        last = self.unit_before == self._size - 1
        with m.If(self.start):
            m.d.sync += [running.eq(1), flags.eq(self.flags), self.unit_before.eq(0)]
        with m.Else():
            m.d.sync += [
                running.eq(running & ~last),
                self.unit_before.eq(Mux(last, 0, self.unit_before + 1)),
            ]
        m.d.comb += [
            self.unit_ahead.eq(delayed(m, self.unit_before, 1, "unit_ahead")),
            self.unit.eq(delayed(m, self.unit_before, 2, "unit")),
            self.valid.eq(delayed(m, running, 2, "valid", reset_less=False)),
            self.unit_flags.eq(delayed(m, flags, 2, "flags")),
        ]
        return m
