"""The search itself: candidates alone, in combination, and around the best ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .front import pareto_front, ranked
from .space import Dimension, Place

__all__ = ["Measured", "Places", "search"]

Places = tuple[Place, ...]
"""A choice of each dimension."""

BEAM = 10
"""Combinations that are carried on from one dimension to the next."""

TRIED = 6
"""Choices of a dimension that each of them is combined with, at the most."""

STRIDE = 2
"""Steps of a ladder from one that is measured alone to the next."""

PATIENCE = 2
"""Steps of a ladder beyond the limit, one after the other, after which it is left."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A combination, and what it costs: the error, and all else that is to be little."""

    places: Places
    costs: tuple[float, ...]

    @property
    def error(self) -> float:
        return self.costs[0]


class _Spent(Exception):  # noqa: N818
    """No more combinations may be measured."""


def search(
    dimensions: Sequence[Dimension],
    measure: Callable[[Places], tuple[float, ...]],
    *,
    limit: float,
    budget: int,
    progress: Progress | None = None,
) -> list[Measured]:
    """Everything that was measured, in order; the first one is the recipe as it is.

    Candidates are measured alone first (Rezk et al. 2022). A ladder is left where the error goes
    beyond the limit, and candidates that another one of the same operand beats are dropped. The
    others are combined, operand after operand in the order of the network, so that most runs
    begin where others have been; after each operand the best combinations go on, front by front.
    Then the neighbours of the front are measured, until there are none or the budget is spent.

    Parameters
    ----------
    dimensions : sequence of Dimension
        What there is to choose.
    measure : callable
        Costs of a combination, the error first.
    limit : float
        Error beyond which a combination leads nowhere.
    budget : int
        Combinations that are measured, at the most.
    progress : callable, optional
        Told of each combination what it was measured for.
    """
    run = _Search(dimensions, measure, limit, budget, progress)
    try:
        run.combine(run.alone())
        run.refine()
    except _Spent:
        pass
    return list(run.found.values())


class _Search:
    def __init__(
        self,
        dimensions: Sequence[Dimension],
        measure: Callable[[Places], tuple[float, ...]],
        limit: float,
        budget: int,
        progress: Progress | None,
    ):
        self._dimensions = dimensions
        self._measure = measure
        self._limit = limit
        self._budget = budget
        self._progress = progress
        self._doing = "as the recipe is"
        self.found: dict[Places, Measured] = {}
        self._base: Places = tuple((0, 0) for _ in dimensions)

    def _at(self, places: Places) -> Measured:
        if places not in self.found:
            if len(self.found) == self._budget:
                raise _Spent
            self.found[places] = Measured(places, self._measure(places))
            if self._progress:
                self._progress(self._doing)
        return self.found[places]

    def _within(self, points: Iterable[Measured]) -> list[Measured]:
        return [point for point in points if point.error <= self._limit]

    def _climb(self, start: Places, at: int, steps: Iterable[Place]) -> Iterator[Measured]:
        """Measure choices of a dimension, the mildest first; leave a ladder beyond the limit."""
        missed: dict[int, int] = {}
        for width, step in steps:
            if missed.get(width, 0) == PATIENCE:
                continue
            point = self._at(changed(start, at, (width, step)))
            missed[width] = 0 if point.error <= self._limit else missed.get(width, 0) + 1
            yield point

    def alone(self) -> list[list[Place]]:
        """For each dimension, the choices that are worth combining."""
        found = []
        base = self._at(self._base)
        for at, dimension in enumerate(self._dimensions):
            self._doing = f"{dimension.name} alone"
            steps = [
                (width, step)
                for width, ladder in enumerate(dimension.ladders)
                for step in (*range(0, len(ladder) - 1, STRIDE), len(ladder) - 1)
            ]
            points = self._within([base, *self._climb(self._base, at, steps)])
            kept = pareto_front(points, lambda point: point.costs)
            kept.sort(key=lambda point: point.costs[1:], reverse=True)
            found.append([point.places[at] for point in spread_out(kept, TRIED)])
        return found

    def combine(self, choices: list[list[Place]]) -> None:
        """Go through the dimensions with the best combinations so far."""
        best = [self._at(self._base)]
        for at, dimension in enumerate(self._dimensions):
            self._doing = f"{dimension.name} in combination"
            reached = {point.places: point for point in best}
            for start in best:
                for point in self._climb(start.places, at, choices[at]):
                    reached[point.places] = point
            best = ranked(self._within(reached.values()), lambda point: point.costs)[:BEAM]
            best = best or [self._at(self._base)]

    def refine(self) -> None:
        """Measure what is next to the front, and what is next to what that finds."""
        self._doing = "around the best"
        for neighbours in (self._single, self._paired):
            seen: set[Places] = set()
            while True:
                front = pareto_front(self._within(self.found.values()), lambda p: p.costs)
                fresh = [point for point in front if point.places not in seen]
                if not fresh:
                    break
                for point in fresh:
                    seen.add(point.places)
                    for places in neighbours(point.places):
                        self._at(places)

    def _single(self, places: Places) -> Iterator[Places]:
        """One dimension a step or two further, or of another width."""
        for at, dimension in enumerate(self._dimensions):
            width, step = places[at]
            near = [(width, step + by) for by in (1, -1, 2)]
            for other in range(len(dimension.ladders)):
                if other != width:
                    near.append((other, min(step, len(dimension.ladders[other]) - 1)))
            for place in near:
                if 0 <= place[1] < len(dimension.ladders[place[0]]):
                    yield changed(places, at, place)

    def _paired(self, places: Places) -> Iterator[Places]:
        """One dimension a step further, another one a step back."""
        for up, dimension in enumerate(self._dimensions):
            width, step = places[up]
            if step + 1 == len(dimension.ladders[width]):
                continue
            for down, (other, above) in enumerate(places):
                if down != up and above:
                    moved = changed(places, up, (width, step + 1))
                    yield changed(moved, down, (other, above - 1))


def changed(places: Places, at: int, place: Place) -> Places:
    return (*places[:at], place, *places[at + 1 :])


def spread_out(points: Sequence[Measured], count: int) -> list[Measured]:
    """The first, the last, and some between them."""
    if len(points) <= count:
        return list(points)
    places = [round(n * (len(points) - 1) / (count - 1)) for n in range(count)]
    return [points[place] for place in places]
