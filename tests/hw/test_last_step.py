# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.last_step import LastStep


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["flowing", "stalling"])
@pytest.mark.parametrize("size", [1, 3])
def test_keeps_last_timesteps(stream, size, stall):
    rng = np.random.default_rng(0)
    beats = [
        {
            "value": int(rng.integers(-8, 8)),
            "last": int(step == length - 1),
            "end": index == size - 1,
        }
        for length in (4, 1, 1, 3)
        for step in range(length)
        for index in range(size)
    ]
    seen = stream(LastStep(Format(4, 0)), beats, stall=stall)
    assert seen == [beat for beat in beats if beat["last"]]


def test_passes_without_delay_and_drops_without_the_sink(bench):
    dut = LastStep(Format(4, 0))

    async def run(ctx):
        for last, ready in ((0, 0), (0, 1), (1, 0), (1, 1)):
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.p.value, 5)
            ctx.set(dut.i.p.last, last)
            ctx.set(dut.o.ready, ready)
            assert ctx.get(dut.o.valid) == last
            assert ctx.get(dut.i.ready) == (ready or not last)
            if last:
                assert ctx.get(dut.o.p.value) == 5
            await ctx.tick()

    bench(dut, run)
