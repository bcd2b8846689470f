import numpy as np
import pytest

from deltaloom.hw.vector_pass import VectorPass


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_units_follow_each_start(cycles, size):
    """Starts as close as they may be, and farther apart."""
    rng = np.random.default_rng(0)
    starts = np.cumsum([0, *(size + rng.integers(0, 3, 20) * rng.integers(0, 4, 20))])
    dut = VectorPass(size)
    length = int(starts[-1]) + size + dut.latency + 3
    start, flags = np.zeros(length, dtype=int), rng.integers(0, 8, length)
    start[starts] = 1
    names = ["valid", "unit", "unit_ahead", "unit_before", "unit_flags"]
    seen = cycles(dut, {"start": start, "flags": flags}, names, length)
    want = [(at + dut.latency + n, n, flags[at]) for at in starts for n in range(size)]
    got = [(at, seen["unit"][at], seen["unit_flags"][at]) for at in np.flatnonzero(seen["valid"])]
    assert got == want
    for at, unit, _ in want:
        assert seen["unit_ahead"][at - 1] == seen["unit_before"][at - 2] == unit
