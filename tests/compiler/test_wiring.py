"""How timesteps follow from the input's, and back."""

import itertools

import pytest

from deltaloom.compiler.wiring import Length

WINDOWS = [(2, 1), (0, 2), (-3, 1), (4, 3), (-2, 5), (1, 2)]


@pytest.mark.parametrize(
    "windows", [(), *itertools.product(WINDOWS), *itertools.permutations(WINDOWS, 2)]
)
def test_least_and_most_are_where_the_number_changes(windows):
    length = Length(windows)
    counts = [max(length.of(steps), 0) for steps in range(1, 400)]  # none are less than 1
    assert counts == sorted(counts)
    for wanted in range(1, 12):
        least = next(steps for steps, count in enumerate(counts, 1) if count >= wanted)
        assert length.least(wanted) == least
        fits = [steps for steps, count in enumerate(counts, 1) if 1 <= count <= wanted]
        if fits:
            assert length.most(wanted) == max(fits)
        else:
            assert length.most(wanted) < length.least()


def test_one_vector_a_sequence_has_no_windows():
    assert Length(once=True).of(9) == 1
    assert Length(once=True).least() == 1
