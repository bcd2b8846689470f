# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.entrance import Entrance


def beats(marks):
    return [{"value": place % 8, "last": int(mark)} for place, mark in enumerate(marks)]


def errors_of(bench, dut, fed):
    found = []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for beat in fed:
            ctx.set(dut.i.p.last, beat["last"])
            found.append(ctx.get(dut.error))
            await ctx.tick()

    bench(dut, run)
    return found


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("size", [1, 3])
def test_marks_vectors(stream, size, stall):
    fed = beats([step % (4 * size) == 4 * size - 1 for step in range(12 * size)])
    seen = stream(Entrance(Format(4, 0), size, None), fed, stall=stall)
    want = [beat | {"end": int(place % size == size - 1)} for place, beat in enumerate(fed)]
    assert seen == want


def test_a_mark_within_a_vector_is_an_error(stream, bench):
    fed = beats([0, 1, 0, 0, 0, 1])
    seen = stream(Entrance(Format(4, 0), 3, None), fed)
    assert [beat["last"] for beat in seen] == [0, 0, 0, 0, 0, 1]
    assert errors_of(bench, Entrance(Format(4, 0), 3, None), fed) == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_what_is_too_long_is_cut(stream, bench, longest):
    """Seven timesteps, then as many as fit: the cut one goes on as another sequence."""
    size = 2
    ends = [7, 7 + longest]
    steps = ends[-1]
    fed = beats([i % size == size - 1 and i // size + 1 in ends for i in range(steps * size)])
    seen = stream(Entrance(Format(4, 0), size, longest), fed)
    cuts = [step for step in range(longest, 7, longest)]
    lasts = [place // size + 1 for place, beat in enumerate(seen) if beat["last"]]
    assert lasts == sorted({*cuts, *ends})
    wrong = errors_of(bench, Entrance(Format(4, 0), size, longest), fed)
    assert [place // size + 1 for place, error in enumerate(wrong) if error] == cuts
