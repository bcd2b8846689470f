# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.hw.divider import Divider


@pytest.mark.parametrize(
    ("divisors", "bits"), [((1, 1), 1), ((1, 7), 4), ((5, 9), 6), ((13, 13), 1)]
)
def test_every_numerator(bench, divisors, bits):
    low, high = divisors
    dut = Divider((high << bits).bit_length(), high.bit_length(), bits)

    async def run(ctx):
        for divisor in range(low, high + 1):
            ctx.set(dut.divisor, divisor)
            for numerator in range(divisor << bits):
                ctx.set(dut.numerator, numerator)
                ctx.set(dut.start, 1)
                await ctx.tick()
                ctx.set(dut.start, 0)
                ctx.set(dut.numerator, 0)
                for _ in range(dut.latency - 1):
                    assert not ctx.get(dut.done)
                    await ctx.tick()
                assert ctx.get(dut.done)
                assert ctx.get(dut.quotient) == numerator // divisor
                if numerator % 3 == 0:
                    await ctx.tick()
                    assert not ctx.get(dut.done)
                    assert ctx.get(dut.quotient) == numerator // divisor

    bench(dut, run)
