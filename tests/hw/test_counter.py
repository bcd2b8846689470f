# amaranth: UnusedElaboratable=no

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from deltaloom.hw.counter import counter


class Counting(wiring.Component):
    def __init__(self, limit):
        self._limit = limit
        super().__init__({"step": In(1), "at": Out(8), "end": Out(1)})

    def elaborate(self, platform):
        m = Module()
        at, end = counter(m, "count", self._limit, self.step)
        m.d.comb += [self.at.eq(at), self.end.eq(end)]
        return m


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_counts_steps_and_begins_anew(cycles, limit):
    steps = [1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0]
    seen = cycles(Counting(limit), {"step": steps}, ["at", "end"])
    counts = [sum(steps[:cycle]) % limit for cycle in range(len(steps))]
    assert seen["at"] == counts
    assert seen["end"] == [int(count == limit - 1) for count in counts]
