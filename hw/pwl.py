"""Piecewise-linear activations, bit for bit :class:`compiler.pwl.PiecewiseLinear`."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
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


def offset_shape(table):
    """What a line's slope is multiplied with."""
    if table.knots is None:
        return unsigned(table.offset_bits)
    return shape_of(table.source)


def shifted(value, factor):
    """Product with 0 or a power of two of either sign."""
    if not factor:
        return Const(0, 1)
    product = value << abs(factor).bit_length() - 1
    return product if factor > 0 else -product


class Activation(wiring.Component):
    """Finds a segment's line and evaluates it; a value a cycle, never stalls.

    Uniform segments are looked up in a memory, those between knots found by comparisons. A few
    lines of slopes that are powers of two take no multiplier.

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
        table, line = self._table, line_layout(self._table)
        base = Signal(line["base"].shape, reset_less=True)
        aligned = Signal.like(base, reset_less=True)
        offset = Signal(offset_shape(table), reset_less=True)
        m.d.sync += offset.eq(self.i[: len(offset)])
        chosen = self._look_up(m, line) if table.knots is None else self._compare(m, line)
        product = self._shift(m, offset) if table.shifts else self._multiply(m, chosen, offset)
        total = Signal(signed(max(len(base), len(product)) + 1))
        m.d.comb += total.eq(aligned + product)
        m.d.sync += [
            base.eq(chosen.base),
            aligned.eq(base),
            self.o.eq(total >> table.shift),
        ]
        return m

    def _multiply(self, m, chosen, offset):
        m.submodules.multiplier = multiplier = Multiplier(
            len(chosen.slope), len(offset) + int(self._table.knots is None)
        )
        m.d.comb += [multiplier.a.eq(chosen.slope), multiplier.b.eq(offset)]
        return multiplier.p

    def _shift(self, m, offset):
        """Offset times slope of the last knot reached, as long on its way as a multiplier's."""
        slopes = self._table.slope.tolist()
        width = len(offset) + width_for(min(slopes), max(slopes))
        first, product = (
            Signal(signed(width), name=name, reset_less=True) for name in ("shifted", "product")
        )
        value = shifted(offset, slopes[0])
        for reached, slope in zip(self._reached, slopes[1:], strict=True):
            value = Mux(reached, shifted(offset, slope), value)
        m.d.sync += [first.eq(value), product.eq(first)]
        return product

    def _lines(self):
        table = self._table
        return [
            {"base": base, "slope": slope}
            for base, slope in zip(table.base.tolist(), table.slope.tolist(), strict=True)
        ]

    def _look_up(self, m, line):
        """The line of the input's upper bits, in the next cycle."""
        lines = self._lines()
        m.submodules.lines = memory_of_lines = memory.Memory(
            shape=line,
            depth=len(lines),
            init=lines,
            attrs=ram_attributes(len(lines), GENERIC, rom=True),
        )
        read = memory_of_lines.read_port()
        m.d.comb += read.addr.eq(self.i[self._table.offset_bits :])
        return read.data

    def _compare(self, m, line):
        """The line of the last knot that the input has reached, in the next cycle.

        The knots reached are the lower ones, so the line is the first one with what each of them
        changes: an exclusive or of constants, as shallow as a tree.
        """
        knots = self._table.knots.tolist()
        self._reached = reached = Signal(len(knots), reset_less=True)
        # Knots lie on a grid: the input's bits below it cannot decide a comparison.
        grid = min((knot & -knot for knot in knots if knot), default=1 << len(self.i) - 1)
        low = grid.bit_length() - 1
        upper = self.i[low:].as_signed()
        m.d.sync += reached.eq(Cat(upper >= (knot >> low) for knot in knots))
        words = [line.const(values).as_bits() for values in self._lines()]
        bits = []
        for place in range(line.size):
            parts = [Const(words[0] >> place & 1, 1)]
            for knot, (before, after) in enumerate(pairwise(words)):
                if (before ^ after) >> place & 1:
                    parts.append(reached[knot])
            bits.append(Cat(parts).xor())
        chosen = Signal(line)
        m.d.comb += chosen.eq(Cat(bits))
        return chosen
