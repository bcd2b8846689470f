"""Registered multipliers."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.gate_schedule import MULTIPLIER_LATENCY

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Signed product with registered factors and product; one a cycle, never stalls.

    Parameters
    ----------
    a_width, b_width : int
        Bits of the factors.
    block : bool
        Whether synthesis may use a multiplier block; else the product is a sum of rows, one for
        each bit of ``a``.

    Members
    -------
    a, b : In(signed(a_width)), In(signed(b_width))
        Factors.
    p : Out(signed(a_width + b_width))
        Product, :attr:`latency` cycles later.
    """

    latency = MULTIPLIER_LATENCY

    def __init__(self, a_width, b_width, *, block=True):
        self._block = block
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "p": Out(signed(a_width + b_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        p = Signal.like(self.p, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), p.eq(a * b if self._block else sum_of_rows(a, b))]
        m.d.comb += self.p.eq(p)
        return m


def sum_of_rows(a, b):
    """Product of two signed values as a tree of additions."""
    rows = [Mux(bit, b, 0) << place for place, bit in enumerate(a)]
    rows[-1] = -rows[-1]  # the sign's weight is negative
    while len(rows) > 1:
        pairs = zip(rows[::2], rows[1::2], strict=False)
        rows = [x + y for x, y in pairs] + rows[len(rows) // 2 * 2 :]
    return rows[0]
