import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.inverse import FixedInverse, fit_inverse, inverse
from deltaloom.hw.inverse import Inverse

FORMATS = [
    (Format(50, 20), Format(16, 12)),
    (Format(50, 21), Format(16, 12)),
    (Format(12, 4), Format(9, 2)),
    (Format(5, -3), Format(16, 18)),
    (Format(60, 31), Format(18, 17)),
    (Format(31, 40), Format(8, 0)),
]


def specs():
    for function in ("root", "reciprocal"):
        for source, target in FORMATS:
            for epsilon in (0, 1, 37):
                yield FixedInverse(function, source, target, epsilon, fit_inverse(function))


def arguments(source, rng):
    """Every magnitude, the ends, zero and what is below it."""
    powers = 2.0 ** rng.uniform(0, source.width - 1, 200)
    edges = [1 << bit for bit in range(source.width - 1)]
    near = [edge - 1 for edge in edges]
    ends = [0, -1, source.min, source.max]
    return np.array([*powers.astype(np.int64), *edges, *near, *ends], dtype=np.int64)


@pytest.mark.parametrize(
    "spec", list(specs()), ids=lambda s: f"{s.function}-{s.source}-{s.epsilon}"
)
def test_integers_are_near_the_function(spec):
    """Within the table's error, the mantissa's cut, and half a unit; and saturated."""
    values = arguments(spec.source, np.random.default_rng(0))
    real = inverse(spec.function, values * spec.source.scale, spec.epsilon * spec.source.scale)
    wanted = np.minimum(real / spec.target.scale, spec.target.max)
    off = np.abs(spec(values) - wanted)
    assert (off <= 0.51 + wanted * 2.0**-13).all()
    assert (spec(values)[values <= 0] == 0).all()


@pytest.mark.parametrize(
    "spec", list(specs()), ids=lambda s: f"{s.function}-{s.source}-{s.epsilon}"
)
def test_hardware_equals_the_integers(cycles, spec):
    values = arguments(spec.source, np.random.default_rng(1))
    dut = Inverse(spec)
    seen = cycles(dut, {"i": values}, ["o"], len(values) + dut.latency)["o"]
    np.testing.assert_array_equal(seen[dut.latency :], spec(values))
