"""The largest elements of a vector, found while it streams by."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Selection", "candidate_layout"]


def candidate_layout(format, index_width):
    """An element that may be selected: how far it is from the last value used, and what it is."""
    return data.StructLayout(
        {
            "magnitude": unsigned(format.width),
            "negative": 1,
            "value": signed(format.width),
            "index": unsigned(index_width),
        }
    )


class Selection(wiring.Component):
    """Keeps the ``count`` elements of the largest magnitude, of equal ones those that came first.

    Takes an element a cycle and never stalls. The registers are sorted, the largest first: an
    element takes the place of the first that is smaller, and the others move on by one. From the
    cycle after the last element on they leave, one a cycle; none may come meanwhile. A vector has
    at least ``count`` elements.

    Parameters
    ----------
    layout : data.StructLayout
        As :func:`candidate_layout` gives it.
    count : int
        Elements that are kept.

    Members
    -------
    valid, first, last : In(1)
        An element comes, which is the first or the last one of its vector.
    drop : In(1)
        With the last one: the vector is not wanted, and nothing leaves.
    candidate : In(layout)
        The element.
    leaving, ending : Out(1)
        An element leaves, which is the last one of those that were kept.
    chosen : Out(layout)
        The element that leaves.
    """

    def __init__(self, layout, count):
        if count < 1:
            raise ValueError(f"Count must be positive, not {count}")
        self._count = count
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "drop": In(1),
                "candidate": In(layout),
                "leaving": Out(1),
                "ending": Out(1),
                "chosen": Out(layout),
            }
        )
        self._layout = layout

    def elaborate(self, platform):
        m = Module()
        kept = [Signal(self._layout, name=f"kept_{n}", reset_less=True) for n in range(self._count)]
        there = Signal(self._count)  # which of the registers hold an element of this vector
        smaller = Signal(self._count)  # whether the new element goes before theirs
        left = Signal(range(self._count + 1))
        m.d.comb += [
            smaller.eq(
                Cat(
                    self.first | ~there[n] | (self.candidate.magnitude > each.magnitude)
                    for n, each in enumerate(kept)
                )
            ),
            self.leaving.eq(left != 0),
            self.ending.eq(left == 1),
            self.chosen.eq(kept[0]),
        ]
        with m.If(self.valid):
            before = [self.candidate, *kept]
            m.d.sync += there.eq(Cat(1, there[:-1] & (~self.first).replicate(self._count - 1)))
            for n, each in enumerate(kept):
                moved = smaller[n - 1] if n else 0
                with m.If(smaller[n]):
                    m.d.sync += each.eq(self.candidate)
                    with m.If(moved):
                        m.d.sync += each.eq(before[n])
        with m.Elif(self.leaving):
            for each, following in zip(kept, kept[1:], strict=False):
                m.d.sync += each.eq(following)
        m.d.sync += left.eq(left - self.leaving)
        with m.If(self.valid & self.last & ~self.drop):
            m.d.sync += left.eq(self._count)
        return m
