# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format, requantize
from deltaloom.compiler.streams import Sum
from deltaloom.hw.join import Adder, Join

LENGTHS = (3, 1, 4)


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (1, 4, 2)])
def test_vectors_side_by_side(streams, vectors, sizes, stall):
    sources = [vectors(LENGTHS, size, seed=size) for size in sizes]
    dut = Join(Format(6, 0), len(sizes))
    (seen,) = streams(dut, list(zip(dut.i, sources, strict=True)), [dut.o], stall=stall)
    want = []
    for step in range(sum(LENGTHS)):
        for place, (beats, size) in enumerate(zip(sources, sizes, strict=True)):
            final = place == len(sizes) - 1
            vector = beats[step * size : (step + 1) * size]
            want += [beat | {"end": int(beat["end"] and final)} for beat in vector]
    assert [(b["value"], b["end"]) for b in seen] == [(b["value"], b["end"]) for b in want]
    ends = [beat["last"] for beat in seen if beat["end"]]
    assert ends == [0, 0, 1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize(
    ("formats", "target"),
    [
        ([Format(6, 2), Format(6, 2)], Format(6, 2)),
        ([Format(6, 5), Format(6, 0), Format(6, 3)], Format(7, 1)),
        ([Format(6, 0), Format(6, -2)], Format(5, 0)),
    ],
)
def test_sums_are_exact_and_rounded_once(streams, vectors, formats, target, stall):
    """In units of the finest last place, as the definition has it; saturation included."""
    sources = [vectors(LENGTHS, 3, seed=seed) for seed in range(len(formats))]
    dut = Adder(Sum("sum", format=target), formats)
    (seen,) = streams(dut, list(zip(dut.sources, sources, strict=True)), [dut.o], stall=stall)
    frac = max(format.frac for format in formats)
    exact = sum(
        np.array([beat["value"] for beat in beats]) << (frac - format.frac)
        for beats, format in zip(sources, formats, strict=True)
    )
    want = requantize(exact, Format(40, frac), target)
    np.testing.assert_array_equal([beat["value"] for beat in seen], want)
    marks = [(beat["last"], beat["end"]) for beat in sources[0]]
    assert [(beat["last"], beat["end"]) for beat in seen] == marks
