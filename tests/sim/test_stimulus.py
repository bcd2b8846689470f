import numpy as np
import pytest

from deltaloom.sim.stimulus import Ports, Stimulus, random_stalls


def make(**changes):
    given = {"data": [1, -2, 3], "last": [False, False, True], "outputs": 2} | changes
    return Stimulus(**given)


def test_takes_lists_and_keeps_arrays():
    stimulus = make(gaps=[0, 1, 2], stalls=[4, 0])
    assert stimulus.data.dtype == stimulus.gaps.dtype == stimulus.stalls.dtype == np.int64
    assert stimulus.last.dtype == np.bool_
    with pytest.raises(ValueError, match="read-only"):
        stimulus.data[0] = 1


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"last": [True]}, ValueError, r"^Stimulus last must have shape \(3,\), not \(1,\)$"),
        (
            {"data": [[1, 2, 3]]},
            ValueError,
            r"^Stimulus data must have shape \(3,\), not \(1, 3\)$",
        ),
        ({"data": [1.0, 2.0, 3.5]}, TypeError, r"^Stimulus data must be int64, not float64$"),
        ({"gaps": [0, -1, 0]}, ValueError, r"^Stimulus gaps must be from 0 to 2\*\*31 - 1$"),
        ({"stalls": [0]}, ValueError, r"^Stimulus stalls must have shape \(2,\), not \(1,\)$"),
        ({"outputs": -1}, ValueError, r"^Stimulus outputs must be at least 0, not -1$"),
        ({"limit": 0}, ValueError, r"^Stimulus limit must be at least 1, not 0$"),
    ],
)
def test_rejects(changes, error, sentence):
    with pytest.raises(error, match=sentence):
        make(**changes)


@pytest.mark.parametrize("bits", [0, 12, 72])
def test_rejects_port_widths(bits):
    with pytest.raises(
        ValueError, match=rf"^Output bits must be a multiple of 8 from 8 to 64, not {bits}$"
    ):
        Ports(8, bits)


def test_random_stalls_have_the_mean_of_a_geometric_wait():
    waits = random_stalls(np.random.default_rng(0), 10_000, 0.75)
    assert waits.min() == 0
    assert abs(waits.mean() - 3) < 0.15  # 0.75 / 0.25; four standard errors of sqrt(12 / 10,000)
    assert not random_stalls(np.random.default_rng(0), 10, 0).any()
    with pytest.raises(ValueError, match=r"^Stall probability must be at least 0 and below 1"):
        random_stalls(np.random.default_rng(0), 10, 1)
