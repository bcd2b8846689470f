import math

import pytest

from deltaloom.search.combine import search
from deltaloom.search.front import pareto_front
from deltaloom.search.space import Choice, Dimension


def make_dimensions(*sizes, widths=1):
    steps = [tuple(tuple(Choice(t) for t in range(size)) for _ in range(widths)) for size in sizes]
    return [Dimension(f"l.{n}", "x", ladders) for n, ladders in enumerate(steps)]


def costs(places):
    """Error rises with every step, twice as fast in the first dimension, as work falls."""
    steps = [step for _, step in places]
    work = sum(2.0**-step for step in steps)
    return (sum((2 - (n > 0)) * step for n, step in enumerate(steps)), work)


def run(dimensions, measure, limit=math.inf, budget=10_000):
    calls = []
    found = search(
        dimensions,
        lambda places: calls.append(places) or measure(places),
        limit=limit,
        budget=budget,
    )
    assert len(calls) == len(set(calls)) == len(found)  # nothing is measured twice
    return found


def best_of_all(dimensions, limit):
    """Every combination."""
    places = [()]
    for dimension in dimensions:
        near = [(w, s) for w, ladder in enumerate(dimension.ladders) for s in range(len(ladder))]
        places = [(*before, place) for before in places for place in near]
    within = [costs(each) for each in places if costs(each)[0] <= limit]
    return pareto_front(within, lambda each: each)


@pytest.mark.parametrize("sizes", [(1,), (7,), (5, 6), (4, 1, 5), (6, 6, 6)])
def test_finds_the_whole_front_of_a_smooth_problem(sizes):
    dimensions, limit = make_dimensions(*sizes), 7
    found = run(dimensions, costs, limit)
    assert found[0].places == tuple((0, 0) for _ in sizes)
    front = pareto_front([each.costs for each in found if each.error <= limit], lambda c: c)
    assert front == best_of_all(dimensions, limit)
    assert len(found) <= math.prod(sizes)


def test_leaves_a_ladder_beyond_the_limit():
    found = run(make_dimensions(40), costs, limit=3)
    assert max(each.places[0][1] for each in found) <= 6


def test_all_of_a_budget_and_no_more():
    for budget in (1, 2, 7):
        assert len(run(make_dimensions(9, 9, 9), costs, budget=budget)) == budget


def test_a_second_width_is_found_where_it_is_better():
    """Of the second width errors are halved."""

    def measure(places):
        error, work = costs(places)
        return (error / 2 if places[1][0] else error, work)

    found = run(make_dimensions(5, 5, widths=2), measure, limit=4)
    front = pareto_front([each for each in found if each.error <= 4], lambda each: each.costs)
    assert all(each.places[1][0] == 1 for each in front if each.error)


def test_says_what_it_does():
    said = []
    search(make_dimensions(3), costs, limit=9, budget=8, progress=said.append)
    assert said[:2] == ["as the recipe is", "l.0.x alone"]
    assert len(said) == 3
