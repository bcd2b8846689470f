# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import RNN
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.reservation import Reservation


class Room:
    """The drain's banks and the output queue, as they are: a unit leaves a bank every cycle."""

    def __init__(self, folded):
        self.banks = folded.drain_banks
        self.full = folded.units
        self.credit = folded.output_depth
        self.waiting = []

    def fits(self):
        leaving = bool(self.waiting) and self.waiting[0] == 1
        return len(self.waiting) - leaving < self.banks and self.credit >= self.full

    def cycle(self, captured, popped):
        if self.waiting:
            self.waiting[0] -= 1
            if not self.waiting[0]:
                self.waiting.pop(0)
        if captured:
            self.waiting.append(captured)
            assert len(self.waiting) <= self.banks
        self.credit += popped - captured
        assert self.credit >= 0


@pytest.mark.parametrize(
    ("hidden", "lanes"), [(1, 1), (7, 2), (12, 4), (11, 6), (23, 6), (40, 40), (9, 5)]
)
@pytest.mark.parametrize("pace", [0.05, 0.6, 1.0], ids="popped {}".format)
def test_room(bench, integer_network, hidden, lanes, pace):
    folded = schedule(integer_network(RNN(2, hidden)), {"l.0": lanes}).layers[0].output
    dut, room, rng = Reservation(folded), Room(folded), np.random.default_rng(0)
    tail = hidden - (folded.blocks - 1) * folded.units
    inside = blocked = 0

    async def run(ctx):
        nonlocal inside, blocked
        block = 0
        for _ in range(1500):
            fits = room.fits()
            assert ctx.get(dut.fits) == fits
            blocked += not fits
            last = block == folded.blocks - 1
            captured = fits and rng.random() < 0.8
            units = (tail if last else folded.units) if captured else 0
            popped = inside > 0 and rng.random() < pace
            inside += units - popped
            ctx.set(dut.captured, captured)
            ctx.set(dut.tail, last)
            ctx.set(dut.popped, popped)
            room.cycle(units, popped)
            block = (block + captured) % folded.blocks
            await ctx.tick()

    bench(dut, run)
    assert blocked or folded.units == 1
