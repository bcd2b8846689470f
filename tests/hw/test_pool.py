# amaranth: UnusedElaboratable=no

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.streams import LastStep
from deltaloom.compiler.streams import Pool as Layer
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.pool import Pool

LENGTHS = (4, 1, 1, 3, 2, 7)
LARGEST = Layer("pool", "max")


def parts(beats, lengths, size):
    values = np.array([beat["value"] for beat in beats]).reshape(-1, size)
    return np.split(values, np.cumsum(lengths)[:-1])


def marks(lengths, size):
    return ([(1, 0)] * (size - 1) + [(1, 1)]) * len(lengths)


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_gives_the_largest_of_each_sequence(stream, vectors, size, stall):
    beats = vectors(LENGTHS, size, seed=size)
    dut = Pool(LARGEST, Format(6, 0), size, 1, GENERIC)
    seen = stream(dut, beats, stall=stall, idle=600)
    want = [part.max(axis=0) for part in parts(beats, LENGTHS, size)]
    np.testing.assert_array_equal([beat["value"] for beat in seen], np.concatenate(want))
    assert [(beat["last"], beat["end"]) for beat in seen] == marks(LENGTHS, size)


@pytest.mark.parametrize("stall", [0.0, 0.8])
@pytest.mark.parametrize("size", [1, 3])
def test_gives_the_last_of_each_sequence(stream, vectors, size, stall):
    beats = vectors(LENGTHS, size, seed=size)
    dut = Pool(LastStep("last"), Format(6, 0), size, 1, GENERIC)
    seen = stream(dut, beats, stall=stall, idle=600)
    want = [part[-1] for part in parts(beats, LENGTHS, size)]
    np.testing.assert_array_equal([beat["value"] for beat in seen], np.concatenate(want))
    assert [(beat["last"], beat["end"]) for beat in seen] == marks(LENGTHS, size)


def test_all_negative(stream):
    beats = [{"value": value, "last": 0, "end": 1} for value in (-5, -3)]
    beats.append({"value": -8, "last": 1, "end": 1})
    dut = Pool(LARGEST, Format(4, 0), 1, 1, GENERIC)
    assert [beat["value"] for beat in stream(dut, beats)] == [-3]


@pytest.mark.parametrize("stall", [0.0, 0.7])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    "target", [Format(6, 2), Format(4, 2), Format(9, 5), Format(3, -1), Format(2, -3), Format(5, 4)]
)
def test_means_are_exact_and_rounded_once(stream, vectors, size, stall, target):
    """Against fractions: half up, then saturated."""
    source, longest = Format(6, 2), max(LENGTHS)
    layer = Layer("pool", "mean", longest, target)
    beats = vectors(LENGTHS, size, seed=size)
    beats[0] |= {"value": source.min}
    seen = stream(Pool(layer, source, size, longest, GENERIC), beats, stall=stall, idle=600)
    want = []
    for part in parts(beats, LENGTHS, size):
        for column in part.T.tolist():
            exact = Fraction(sum(column), len(column)) * Fraction(2) ** (target.frac - source.frac)
            want.append(min(max(floor(exact + Fraction(1, 2)), target.min), target.max))
    assert [beat["value"] for beat in seen] == want
    assert [(beat["last"], beat["end"]) for beat in seen] == marks(LENGTHS, size)


@pytest.mark.parametrize("value", [-32, 31])
def test_the_longest_sequence_of_extremes(stream, value):
    longest = 37
    layer = Layer("pool", "mean", longest, Format(6, 0))
    beats = [
        {"value": value, "last": int(step == longest - 1), "end": 1} for step in range(longest)
    ]
    seen = stream(Pool(layer, Format(6, 0), 1, longest, GENERIC), beats * 2)
    assert [beat["value"] for beat in seen] == [value] * 2
