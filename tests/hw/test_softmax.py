# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.softmax import Softmax
from deltaloom.hw.sum_drain import SumDrain


@pytest.mark.parametrize("skip", ["none", "zero"])
def test_lists_weights_and_gives_the_reciprocal_of_their_sum(attention_network, bench, skip):
    """Vectors of scores of different lengths, extremes and equal ones among them."""
    recipe = Recipe(skip=skip, activations="int6")
    network = attention_network("dot", False, scale=2.0, recipe=recipe)
    layer, folded = network.layers[-1], schedule(network, 8).attention("att")
    rng = np.random.default_rng(0)
    low, high = layer.score.min, layer.score.max
    vectors = [
        np.array([low, high, 0]),
        np.array([low]),
        np.array([7, 7]),
        rng.integers(-40, 40, layer.max_steps),
        np.array([high, high - 1, high - 9, low, -1]),
    ]
    dut = Softmax(folded)

    async def feed(ctx):
        for scores in vectors:
            weights = layer.weights(scores[None], np.ones((1, len(scores)), bool))[0]
            for place, score in enumerate(scores):
                ctx.set(dut.valid, 1)
                ctx.set(dut.score, int(score))
                ctx.set(dut.last, place == len(scores) - 1)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            count = 0
            for cycle in range(len(scores) + folded.listing_latency - 1):
                count += ctx.get(dut.wrote)
                closing = cycle == len(scores) + folded.listing_latency - 2
                assert ctx.get(dut.closed) == closing
                await ctx.tick()
            listed = np.flatnonzero(weights) if skip == "zero" else np.arange(len(scores))
            assert count == len(listed)
            for place, index in enumerate(listed):
                ctx.set(dut.address, place)
                await ctx.tick()
                entry = ctx.get(dut.entry)
                assert (int(entry["index"]), int(entry["value"])) == (index, weights[index])
            await ctx.tick().repeat(20)
            wanted = layer.inverse(np.array([weights.sum()]))[0]
            assert ctx.get(dut.reciprocal) == wanted

    bench(dut, feed)


def test_a_drain_gives_what_is_wanted_of_a_block(cycles):
    sums = sum((value & 0xFF) << 8 * lane for lane, value in enumerate([-3, 5, -128]))
    found = cycles(
        SumDrain(3, 8),
        {
            "sums": [sums, 0, 0, 9, 0],
            "captured": [1, 0, 0, 1, 0],
            "units": [2, 0, 0, 1, 0],
            "final": [0, 0, 0, 1, 0],
        },
        ["valid", "value", "last"],
        6,
    )
    assert found["valid"] == [0, 1, 1, 0, 1, 0]
    assert [found["value"][cycle] for cycle in (1, 2, 4)] == [-3, 5, 9]
    assert found["last"] == [0, 0, 0, 0, 1, 0]
