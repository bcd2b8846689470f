# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.fork import Fork


@pytest.mark.parametrize("stall", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("branches", [1, 2, 3])
def test_every_branch_gets_every_element_once(streams, vectors, branches, stall):
    beats = vectors([4, 1, 3], 3)
    dut = Fork(Format(6, 0), branches)
    seen = streams(dut, [(dut.i, beats)], list(dut.o), stall=stall)
    assert seen == [beats] * branches


def test_a_branch_that_is_ready_does_not_wait(bench):
    """The one takes the element at once, and not again while the other one lets it wait."""
    dut = Fork(Format(6, 0), 2)

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        for ready, valid, taken in (
            ((1, 0), (1, 1), 0),
            ((1, 0), (0, 1), 0),
            ((0, 1), (0, 1), 1),
            ((1, 1), (1, 1), 1),
            ((0, 1), (1, 1), 0),
            ((1, 0), (1, 0), 1),
        ):
            for out, value in zip(dut.o, ready, strict=True):
                ctx.set(out.ready, value)
            assert tuple(ctx.get(out.valid) for out in dut.o) == valid
            assert ctx.get(dut.i.ready) == taken
            await ctx.tick()

    bench(dut, run)
