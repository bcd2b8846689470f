"""Division of non-negative integers."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Divider"]


class Divider(wiring.Component):
    """Divides by subtraction, a bit of the quotient a cycle.

    Parameters
    ----------
    numerator, divisor : int
        Bits of the operands.
    quotient : int
        Bits of the result: the numerator is less than the divisor shifted left by as many.

    Members
    -------
    start : In(1)
        The operands are there, and no division is under way.
    numerator, divisor : In(unsigned)
        What is divided, with ``start``; and by what, which stays until the quotient is there.
    done : Out(1)
        The quotient is there: :attr:`latency` cycles after the start.
    quotient : Out(unsigned)
        What is divided by the divisor, rounded down; stays until the next start.
    """

    def __init__(self, numerator, divisor, quotient):
        super().__init__(
            {
                "start": In(1),
                "numerator": In(unsigned(numerator)),
                "divisor": In(unsigned(divisor)),
                "done": Out(1),
                "quotient": Out(unsigned(quotient)),
            }
        )

    @property
    def latency(self):
        """Cycles from start to quotient."""
        return len(self.quotient) + 1

    def elaborate(self, platform):
        m = Module()
        bits = len(self.quotient)
        rest = Signal(unsigned(len(self.divisor)), reset_less=True)
        ahead = Signal(unsigned(len(self.divisor) + 1))  # with the numerator's next bit
        fits, left = Signal(), Signal(range(bits + 1))
        m.d.comb += [
            ahead.eq(Cat(self.quotient[-1], rest)),
            fits.eq(ahead >= self.divisor),
        ]
        m.d.sync += self.done.eq(left == 1)
        with m.If(self.start):
            # Bits of the numerator make room for those of the quotient.
            m.d.sync += [
                Cat(self.quotient, rest).eq(self.numerator),
                left.eq(bits),
            ]
        with m.Elif(left != 0):
            m.d.sync += [
                rest.eq(Mux(fits, ahead - self.divisor, ahead)),
                self.quotient.eq(Cat(fits, self.quotient[:-1])),
                left.eq(left - 1),
            ]
        return m
