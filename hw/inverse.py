"""Inverses of wide integers, bit for bit :class:`compiler.inverse.FixedInverse`."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.gate_schedule import INVERSE_LATENCY
from .constants import constant_of
from .delay import delayed
from .pwl import Activation
from .rescale import shape_of

__all__ = ["Inverse"]

GROUP = 8  # bits that are searched for a leading one at once


def leading_one(m, value, name):
    """Number of the highest bit that is set; 0 for 0."""
    groups = [value[start : start + GROUP] for start in range(0, len(value), GROUP)]
    places = []
    for number, group in enumerate(groups):
        place = Signal(range(GROUP), name=f"{name}_{number}")
        for bit in range(len(group)):
            with m.If(group[bit]):
                m.d.comb += place.eq(bit)
        places.append(place)
    found = Signal(range(len(groups) * GROUP), name=name)
    for number, (group, place) in enumerate(zip(groups, places, strict=True)):
        with m.If(group.any()):
            m.d.comb += found.eq(Cat(place, Const(number, len(found) - len(place))))
    return found


class Inverse(wiring.Component):
    """Normalises, looks up and shifts back; a value a cycle, never stalls.

    Parameters
    ----------
    spec : FixedInverse
        Function, formats, epsilon, table.

    Members
    -------
    i : In(spec.source)
        Argument.
    o : Out(spec.target)
        Result, :attr:`latency` cycles later.
    """

    latency = INVERSE_LATENCY

    def __init__(self, spec):
        self._spec = spec
        super().__init__({"i": In(shape_of(spec.source)), "o": Out(shape_of(spec.target))})

    def elaborate(self, platform):
        m = Module()
        spec = self._spec
        table = spec.table
        fraction = table.source.frac
        # Cycle 1: with epsilon. Cycle 2: its leading bit. Cycle 3: the mantissa's code.
        there = Signal(reset_less=True)
        total = Signal(unsigned(spec.width), reset_less=True)
        held = Signal.like(total)
        exponent = Signal(range(spec.width), reset_less=True)
        code = Signal(shape_of(table.source), reset_less=True)
        m.d.sync += [
            there.eq(self.i > 0),
            total.eq(Mux(self.i > 0, self.i, 0) + spec.epsilon),
            exponent.eq(leading_one(m, total, "leading")),
            held.eq(total),
        ]
        # With the leading bit shifted to the top, what follows it is the fraction.
        top = spec.width - 1
        distance = Signal.like(exponent)
        aligned = Signal(unsigned(spec.width + fraction))
        odd = constant_of([spec.odd(at) for at in range(spec.width)], exponent)
        m.d.comb += [
            distance.eq(top - exponent),
            aligned.eq((held << distance) << fraction),
        ]
        m.d.sync += code.eq(Cat(aligned[top : top + fraction], ~odd))
        m.submodules.table = lookup = Activation(table)
        m.d.comb += lookup.i.eq(code)

        # Then the shift into place, and its rounding and saturation.
        left = max(0, *(-spec.shift(at) for at in range(spec.width)))
        amounts = [spec.shift(at) + left for at in range(spec.width)]
        amount = Signal(range(max(amounts) + 1), reset_less=True)
        m.d.sync += amount.eq(constant_of(amounts, exponent))
        amount = delayed(m, amount, lookup.latency, "amount")
        shifted = Signal(unsigned(len(lookup.o) + left + 1), reset_less=True)
        m.d.sync += shifted.eq((lookup.o.as_unsigned() << (left + 1)) >> amount)
        rounded = (shifted + 1) >> 1
        largest = Mux(rounded > spec.target.max, spec.target.max, rounded)
        kept = delayed(m, there, self.latency - 2, "there")
        m.d.sync += self.o.eq(Mux(kept, largest, 0))
        return m
