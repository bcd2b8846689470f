# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.max_pool import MaxPool

LENGTHS = (4, 1, 1, 3, 2)


def marked(beats, lengths, size):
    """The beats with ``last`` on the whole last timestep, as a cell marks it."""
    last = [step == length - 1 for length in lengths for step in range(length)]
    return [beat | {"last": int(last[place // size])} for place, beat in enumerate(beats)]


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_gives_the_largest_of_each_sequence(stream, vectors, size, stall):
    beats = marked(vectors(LENGTHS, size, seed=size), LENGTHS, size)
    seen = stream(MaxPool(Format(6, 0), size), beats, stall=stall)
    values = np.array([beat["value"] for beat in beats]).reshape(-1, size)
    want = [part.max(axis=0) for part in np.split(values, np.cumsum(LENGTHS)[:-1])]
    np.testing.assert_array_equal([beat["value"] for beat in seen], np.concatenate(want))
    assert [beat["end"] for beat in seen] == ([0] * (size - 1) + [1]) * len(LENGTHS)
    assert all(beat["last"] for beat in seen)


def test_all_negative(stream):
    beats = [{"value": value, "last": 0, "end": 1} for value in (-5, -3)]
    beats.append({"value": -8, "last": 1, "end": 1})
    assert [beat["value"] for beat in stream(MaxPool(Format(4, 0), 1), beats)] == [-3]
