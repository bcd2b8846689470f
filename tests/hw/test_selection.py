# amaranth: UnusedElaboratable=no

import itertools

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.hw.selection import Selection, candidate_layout
from deltaloom.sim.columns import selected

FORMAT = Format(4, 0)
INDEX = 4


def run(cycles, count, vectors, gap, rng):
    """What leaves: for each vector that is wanted, (cycle behind its last element, element)."""
    names = ("valid", "first", "last", "drop", "candidate")
    inputs = {name: [] for name in names}
    ends = []

    def cycle(**values):
        for name in names:
            inputs[name].append(values.get(name, {} if name == "candidate" else 0))

    for differences, drop in vectors:
        for index, difference in enumerate(differences):
            while rng.random() < gap:
                cycle()
            candidate = {
                "magnitude": abs(difference),
                "negative": int(difference < 0),
                "value": index - 8,
                "index": index,
            }
            cycle(
                valid=1,
                first=index == 0,
                last=index == len(differences) - 1,
                drop=drop,
                candidate=candidate,
            )
        ends.append(len(inputs["valid"]) - 1)
        for _ in range(0 if drop else count):
            cycle()
    for _ in range(3):
        cycle()
    dut = Selection(candidate_layout(FORMAT, INDEX), count)
    seen = cycles(dut, inputs, ["leaving", "ending", "chosen"])
    found = []
    for end, (_, drop) in zip(ends, vectors, strict=True):
        leaving = range(end + 1, end + 1 + count)
        if not drop:
            found.append([seen["chosen"][at] for at in leaving])
            assert [seen["ending"][at] for at in leaving] == [*[0] * (count - 1), 1]
        assert [seen["leaving"][at] for at in leaving] == [0 if drop else 1] * count
    wanted = sum(not drop for _, drop in vectors)
    assert sum(seen["leaving"]) == wanted * count
    return found


@pytest.mark.parametrize("gap", [0.0, 0.5], ids=["flowing", "gaps"])
@pytest.mark.parametrize(("size", "count"), [(1, 1), (2, 1), (5, 2), (7, 7), (13, 4), (13, 12)])
def test_the_largest_leave_first(cycles, size, count, gap):
    rng = np.random.default_rng(size)
    vectors = [(rng.integers(-15, 16, size).tolist(), False) for _ in range(9)]
    vectors += [(rng.integers(-1, 2, size).tolist(), False) for _ in range(5)]  # many are equal
    vectors += [([0] * size, False), ([-15] * size, False)]
    found = run(cycles, count, vectors, gap, rng)
    for leaving, (differences, _) in zip(found, vectors, strict=True):
        got = [element["index"] for element in leaving]
        magnitudes = [abs(differences[index]) for index in got]
        assert sorted(got) == np.flatnonzero(selected(np.array(differences), count)).tolist()
        assert magnitudes == sorted(magnitudes, reverse=True)
        for element in leaving:
            difference = differences[element["index"]]
            assert element["magnitude"] == abs(difference)
            assert element["negative"] == (difference < 0)
            assert element["value"] == element["index"] - 8


def test_every_order_of_three(cycles):
    """Ties go to the element that came first."""
    vectors = [(list(each), False) for each in itertools.product((-1, 0, 2), repeat=3)]
    found = run(cycles, 2, vectors, 0.0, np.random.default_rng(0))
    for leaving, (differences, _) in zip(found, vectors, strict=True):
        order = sorted(range(3), key=lambda n: (-abs(differences[n]), n))
        assert [element["index"] for element in leaving] == order[:2]


def test_a_vector_that_is_dropped_leaves_nothing(cycles):
    rng = np.random.default_rng(3)
    vectors = [(rng.integers(-9, 9, 6).tolist(), bool(n % 2)) for n in range(6)]
    found = run(cycles, 3, vectors, 0.3, rng)
    for leaving, (differences, _) in zip(found, vectors[::2], strict=True):
        want = np.flatnonzero(selected(np.array(differences), 3)).tolist()
        assert sorted(element["index"] for element in leaving) == want


def test_refuses_to_keep_nothing():
    with pytest.raises(ValueError, match="^Count must be positive, not 0$"):
        Selection(candidate_layout(FORMAT, INDEX), 0)
