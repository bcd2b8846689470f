# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.arg_max import ArgMax

LENGTHS = (3, 1, 4)


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("size", [1, 2, 5, 11])
def test_gives_the_first_of_the_largest(stream, vectors, size, stall):
    beats = vectors(LENGTHS, size, width=3, seed=size)  # few values: equals are frequent
    seen = stream(ArgMax(Format(3, 0), Format(16, 0), size), beats, stall=stall)
    values = np.array([beat["value"] for beat in beats]).reshape(-1, size)
    np.testing.assert_array_equal([beat["value"] for beat in seen], values.argmax(axis=1))
    assert all(beat["end"] for beat in seen)
    assert [beat["last"] for beat in seen] == [0, 0, 1, 1, 0, 0, 0, 1]
