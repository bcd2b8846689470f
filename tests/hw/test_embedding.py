# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.streams import Embedding as Layer
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.embedding import Embedding


def layer(entries, features):
    table = np.random.default_rng(entries).integers(-32, 32, (entries, features))
    return Layer("words", table, Format(6, 4))


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize(("entries", "features"), [(1, 1), (2, 1), (5, 3), (17, 6), (100, 7)])
def test_gives_rows(stream, entries, features, stall):
    spec = layer(entries, features)
    rng = np.random.default_rng(1)
    indices = [0, entries - 1, *rng.integers(0, entries, 20).tolist()]
    beats = [{"value": index, "last": index % 2, "end": 1} for index in indices]
    seen = stream(Embedding(spec, spec.index_format, GENERIC), beats, stall=stall)
    assert seen == [
        {"value": int(value), "last": index % 2, "end": int(place == features - 1)}
        for index in indices
        for place, value in enumerate(spec.table[index])
    ]


@pytest.mark.parametrize("wrong", [-1, -8, 5, 7])
def test_wrong_indices_are_errors_and_zero(stream, bench, wrong):
    spec = layer(5, 2)
    beats = [{"value": index, "last": 0, "end": 1} for index in (4, wrong, 0)]
    seen = stream(Embedding(spec, Format(4, 0), GENERIC), beats)
    assert [beat["value"] for beat in seen] == [*spec.table[4], 0, 0, *spec.table[0]]

    dut = Embedding(spec, Format(4, 0), GENERIC)
    errors = []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for index in (4, wrong, 0):
            ctx.set(dut.i.p.value, index)
            ready = False
            while not ready:
                _, _, ready, error = await ctx.tick().sample(dut.i.ready, dut.error)
                errors.append((index, error))

    bench(dut, run)
    assert [index for index, error in errors if error] == [wrong]


def test_an_element_a_cycle(bench):
    spec = layer(5, 3)
    dut = Embedding(spec, Format(4, 0), GENERIC)
    taken, valid = [], []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for _ in range(9):
            _, _, ready, there = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            taken.append(ready)
            valid.append(there)

    bench(dut, run)
    assert taken == [1, 0, 0, 1, 0, 0, 1, 0, 0]
    assert valid == [0, 0, 1, 1, 1, 1, 1, 1, 1]
