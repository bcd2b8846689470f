"""Products of lanes that take no multiplier block, or half of one."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .lane_plan import BLOCK_WIDTH
from .multiplier import Multiplier

__all__ = ["DualMultiplier", "ShiftProduct"]


class ShiftProduct(wiring.Component):
    """Product with a power of two of either sign, or with zero; one a cycle, never stalls.

    Parameters
    ----------
    code : ShiftCode
        Of the weight.
    factor_width : int
        Bits of the factor.

    Members
    -------
    weight, factor : In
        A code, and what its weight is multiplied with.
    p, carry : Out(signed), Out(1)
        The product is their sum, :attr:`latency` cycles later: a negative one is the positive
        one's complement, and one more.
    """

    latency = Multiplier.latency

    def __init__(self, code, factor_width):
        self._code = code
        width = factor_width + (1 << code.exponent_bits) - 1
        super().__init__(
            {
                "weight": In(code.bits),
                "factor": In(signed(factor_width)),
                "p": Out(signed(width)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        weight = Signal.like(self.weight, reset_less=True)
        factor = Signal.like(self.factor, reset_less=True)
        shape = self.p.shape()
        sign, exponent = weight[0], weight[1 : 1 + self._code.exponent_bits]
        size = Signal(shape)
        m.d.sync += [weight.eq(self.weight), factor.eq(self.factor)]
        shifted = factor
        for place, bit in enumerate(exponent):
            shifted = Mux(bit, shifted << (1 << place), shifted)
        m.d.comb += size.eq(Mux(weight[-1], shifted, 0) if self._code.zero else shifted)
        p, carry = Signal(shape, reset_less=True), Signal(reset_less=True)
        m.d.sync += [p.eq(Mux(sign, ~size, size)), carry.eq(sign)]
        m.d.comb += [self.p.eq(p), self.carry.eq(carry)]
        return m


class DualMultiplier(wiring.Component):
    """Two products with the same factor in one multiplier block; one pair a cycle, never stalls.

    The block multiplies ``w0 + (w1 << place)``. Where the lower product is negative it borrows
    from the upper one, which is to get it back.

    Parameters
    ----------
    widths : (int, int)
        Bits of the weights.
    factor_width : int
        Bits of the factor.
    place : int
        Bits that every lower product fits in.

    Members
    -------
    w0, w1, factor : In
        Weights, and what both are multiplied with.
    p0, p1, carry : Out(signed), Out(signed), Out(1)
        The products are ``p0`` and the sum of ``p1`` and ``carry``, :attr:`latency` cycles later.
    """

    latency = Multiplier.latency

    def __init__(self, widths, factor_width, place):
        assert max(place + widths[1] + 1, factor_width) <= BLOCK_WIDTH
        self._place = place
        super().__init__(
            {
                "w0": In(signed(widths[0])),
                "w1": In(signed(widths[1])),
                "factor": In(signed(factor_width)),
                "p0": Out(signed(place)),
                "p1": Out(signed(widths[1] + 1 + factor_width)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place, top = self._place, len(self.w1)
        # One less than w1 where w0 is negative, in gates: a carry chain would take longer.
        negative, w1 = self.w0[-1], Cat(self.w1, self.w1[-1])
        upper = Cat(w1[n] ^ (negative & ~w1[:n].any()) for n in range(top + 1))
        m.submodules.multiplier = multiplier = Multiplier(place + top + 1, len(self.factor))
        product = multiplier.p
        m.d.comb += [
            multiplier.a.eq(Cat(self.w0, negative.replicate(place - len(self.w0)), upper)),
            multiplier.b.eq(self.factor),
            self.p0.eq(product[:place].as_signed()),
            self.p1.eq(product[place:].as_signed()),
            self.carry.eq(product[place - 1]),
        ]
        return m
