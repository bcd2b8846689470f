"""Pareto fronts: what nothing else is better than in every respect."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

__all__ = ["dominates", "pareto_front", "ranked"]

Point = TypeVar("Point")
Costs = Sequence[float]


def dominates(one: Costs, other: Costs) -> bool:
    """Whether ``one`` is nowhere dearer and somewhere cheaper than ``other``."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def pareto_front(points: Iterable[Point], costs: Callable[[Point], Costs]) -> list[Point]:
    """The points that none dominates, by their costs; of equal ones the first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda each: tuple(costs(each))):
        # Whatever dominates a point sorts before it.
        own = tuple(costs(point))
        if not any(all(a <= b for a, b in zip(costs(p), own, strict=True)) for p in found):
            found.append(point)
    return found


def ranked(points: Iterable[Point], costs: Callable[[Point], Costs]) -> list[Point]:
    """All points, front after front: those of the first, those only it dominates, and so on."""
    left, found = list(enumerate(points)), []
    while left:
        front = pareto_front(left, lambda each: costs(each[1]))
        found += [point for _, point in front]
        chosen = {place for place, _ in front}
        left = [each for each in left if each[0] not in chosen]
    return found
