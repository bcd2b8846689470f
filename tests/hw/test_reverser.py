# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.reverser import Reverser


def backwards(beats, size):
    """The vectors of each sequence in turn; ``last`` on all of the last vector."""
    found, sequence = [], []
    for start in range(0, len(beats), size):
        sequence.append(beats[start : start + size])
        if sequence[-1][-1]["last"]:
            for place, vector in enumerate(reversed(sequence)):
                last = int(place == len(sequence) - 1)
                found += [beat | {"last": last} for beat in vector]
            sequence = []
    return found


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("size", "longest"), [(1, 1), (1, 5), (3, 4), (7, 2), (2, 1)])
def test_turns_sequences(stream, vectors, size, longest, stall):
    lengths = [longest, 1, longest, max(1, longest - 1), 1, 1, longest]
    beats = vectors(lengths, size)
    seen = stream(Reverser(Format(6, 0), size, longest, GENERIC), beats, stall=stall)
    assert seen == backwards(beats, size)


def test_takes_two_sequences_and_starts_two_cycles_after_the_first(bench):
    dut = Reverser(Format(6, 0), 1, 3, GENERIC)
    taken, valid = [], []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.p.end, 1)
        for cycle in range(12):
            ctx.set(dut.i.p.last, cycle % 3 == 2)
            _, _, ready, there = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            taken.append(ready)
            valid.append(there)

    bench(dut, run)
    assert taken == [1] * 6 + [0] * 6  # nobody reads
    assert valid == [0] * 4 + [1] * 8
