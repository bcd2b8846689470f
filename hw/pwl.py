"""Piecewise-linear activations, bit for bit :class:`compiler.pwl.PiecewiseLinear`."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.fixed import width_for
from ..compiler.gate_schedule import ACTIVATION_LATENCY
from ..compiler.target import GENERIC
from .multiplier import Multiplier
from .ram_style import ram_attributes
from .rescale import shape_of

__all__ = ["Activation", "line_layout"]


def line_layout(table):
    """A segment's line in the table memory."""
    bases, slopes = table.base, table.slope
    return data.StructLayout(
        {
            "base": signed(width_for(int(bases.min()), int(bases.max()))),
            "slope": signed(width_for(int(slopes.min()), int(slopes.max()))),
        }
    )


class Activation(wiring.Component):
    """Looks up a segment's line and evaluates it; a value a cycle, never stalls.

    Parameters
    ----------
    table : PiecewiseLinear
        Segments and formats.

    Members
    -------
    i : In(table.source)
        Argument.
    o : Out(table.target)
        Result, :attr:`latency` cycles later.
    """

    latency = ACTIVATION_LATENCY

    def __init__(self, table):
        self._table = table
        super().__init__({"i": In(shape_of(table.source)), "o": Out(shape_of(table.target))})

    def elaborate(self, platform):
        m = Module()
        table = self._table
        bases, slopes = table.base.tolist(), table.slope.tolist()
        line = line_layout(table)
        lines = [{"base": b, "slope": s} for b, s in zip(bases, slopes, strict=True)]
        m.submodules.lines = lines_memory = memory.Memory(
            shape=line,
            depth=len(lines),
            init=lines,
            attrs=ram_attributes(len(lines), GENERIC, rom=True),
        )
        read = lines_memory.read_port()
        m.submodules.multiplier = multiplier = Multiplier(
            line["slope"].width, table.offset_bits + 1
        )
        offset = Signal(unsigned(table.offset_bits), reset_less=True)
        base = Signal(line["base"].shape, reset_less=True)
        aligned = Signal.like(base, reset_less=True)
        m.d.comb += [
            read.addr.eq(self.i[table.offset_bits :]),
            multiplier.a.eq(read.data.slope),
            multiplier.b.eq(offset),
        ]
        total = Signal(signed(max(len(base), len(multiplier.p)) + 1))
        m.d.comb += total.eq(aligned + multiplier.p)
        m.d.sync += [
            offset.eq(self.i[: table.offset_bits]),
            base.eq(read.data.base),
            aligned.eq(base),
            self.o.eq(total >> table.shift),
        ]
        return m
