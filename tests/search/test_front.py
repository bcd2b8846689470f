from itertools import product

import numpy as np

from deltaloom.search.front import dominates, pareto_front, ranked


def own(point):
    return point


def test_front_by_hand():
    points = [(1, 9), (2, 5), (3, 5), (2, 7), (4, 1), (4, 1), (5, 0), (6, 0)]
    assert pareto_front(points, own) == [(1, 9), (2, 5), (4, 1), (5, 0)]
    assert ranked(points, own)[4:] == [(2, 7), (3, 5), (4, 1), (6, 0)]
    assert pareto_front([], own) == []


def test_front_is_what_nothing_dominates():
    points = [tuple(p) for p in np.random.default_rng(0).integers(0, 5, (60, 3)).tolist()]
    front = pareto_front(points, own)
    for point in points:
        dominated = any(dominates(other, point) for other in points)
        assert (point in front) == (not dominated)
    assert len(front) == len(set(front))
    assert sorted(ranked(points, own)) == sorted(points)


def test_equal_points_do_not_dominate_each_other():
    for one, other in product([(0, 1), (1, 0), (1, 1)], repeat=2):
        want = one != other and other == (1, 1)
        assert dominates(one, other) == want
