"""Products of wide scalars, from parts that a multiplier block holds."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.gate_schedule import SCALAR_LATENCY

__all__ = ["ScalarMultiplier"]

PART = 17  # bits of a part, unsigned but for the highest


class ScalarMultiplier(wiring.Component):
    """Multiplies signed numbers of any width; a product a cycle, never stalls.

    Parameters
    ----------
    a_width, b_width : int
        Bits of the operands.

    Members
    -------
    a, b : In
        Operands.
    p : Out
        Product, :attr:`latency` cycles later.
    """

    latency = SCALAR_LATENCY

    def __init__(self, a_width, b_width):
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "p": Out(signed(a_width + b_width)),
            }
        )

    def _parts(self, m, value, name):
        """Registered parts of an operand, and the bits that each is shifted by."""
        held = Signal(value.shape(), name=f"{name}_held", reset_less=True)
        m.d.sync += held.eq(value)
        starts = range(0, len(value), PART)
        last = starts[-1]
        return [
            (start, held[start:].as_signed() if start == last else held[start : start + PART])
            for start in starts
        ]

    def elaborate(self, platform):
        m = Module()
        products = []
        for a_start, a in self._parts(m, self.a, "a"):
            for b_start, b in self._parts(m, self.b, f"b_for_{a_start}"):
                product = Signal(signed(len(a) + len(b) + 2), name=f"part_{a_start}_{b_start}")
                m.d.sync += product.eq(a * b)
                products.append(product << (a_start + b_start))
        pairs = []
        for first in range(0, len(products), 2):
            pair = Signal(self.p.shape(), name=f"pair_{first}", reset_less=True)
            m.d.sync += pair.eq(sum(products[first : first + 2]))
            pairs.append(pair)
        m.d.sync += self.p.eq(sum(pairs))
        return m
