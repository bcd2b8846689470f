"""Sums of a block, one after the other."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SumDrain"]


class SumDrain(wiring.Component):
    """Takes the sums of all lanes at once and gives them lane by lane, one a cycle.

    The first one leaves in the cycle after they came. They must not come before the last one that
    is wanted of those before has left, which the sequencer sees to.

    Parameters
    ----------
    lanes, width : int
        Sums, and bits of each.

    Members
    -------
    sums : In(lanes * width)
        All sums.
    captured : In(1)
        They are to be taken.
    units : In
        How many of them are wanted, 1 at least.
    final : In(1)
        Nothing follows them.
    valid, value : Out
        A sum leaves.
    last : Out(1)
        It is the last one of a ``final`` block.
    """

    def __init__(self, lanes, width):
        super().__init__(
            {
                "sums": In(lanes * width),
                "captured": In(1),
                "units": In(range(lanes + 1)),
                "final": In(1),
                "valid": Out(1),
                "value": Out(signed(width)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        held = Signal(len(self.sums), reset_less=True)
        left, final = Signal(self.units.shape()), Signal()
        width = len(self.value)
        m.d.comb += [
            self.valid.eq(left != 0),
            self.value.eq(held[:width].as_signed()),
            self.last.eq(final & (left == 1)),
        ]
        with m.If(self.captured):
            m.d.sync += [held.eq(self.sums), left.eq(self.units), final.eq(self.final)]
        with m.Else():
            m.d.sync += [held.eq(held >> width), left.eq(Mux(self.valid, left - 1, 0))]
        return m
