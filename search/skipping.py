"""Path skipping: the most sensitive paths stay at 16 bits until the loss is within a bound."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ..compiler.errors import DeltaloomError
from ..compiler.integer import Skip
from ..compiler.recipe import Recipe
from .paths import ACTIVATIONS, WEIGHTS, Part, widened
from .progress import Say, counted
from .sensitivity import Sensitivity, measure_sensitivity, shown
from .trials import Trials, keep_thresholds

__all__ = ["Attempt", "SkippedPath", "Skipping", "skip_paths"]

CLOSE = 1e-12  # of a sum of losses, which rounds


@dataclass(frozen=True)
class Attempt:
    """Parts that were left at 16 bits, and the loss with them."""

    wide: tuple[Part, ...]
    loss: float


@dataclass(frozen=True)
class SkippedPath:
    """What was left at 16 bits, and what that costs.

    Parameters
    ----------
    part : Part
        What it is.
    widths : tuple of str
        What the recipe had asked for.
    eliminated_narrow, eliminated_wide : float, optional
        Share of the path's columns that skipping leaves out on the calibration data, as the
        recipe had it and at 16 bits: finer vectors repeat less. None where nothing is skipped,
        and for weights.
    """

    part: Part
    widths: tuple[str, ...]
    eliminated_narrow: float | None
    eliminated_wide: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.part.path,
            "what": self.part.what,
            "widths": list(self.widths),
            "eliminated_narrow": self.eliminated_narrow,
            "eliminated_wide": self.eliminated_wide,
        }


@dataclass(frozen=True)
class Skipping:
    """What a search for paths to skip found (Rezk et al. 2022).

    Parameters
    ----------
    float_loss, recipe_loss, loss : float
        Of the float network, of the recipe as it was, and of what was found.
    max_loss : float
        Increase over the float network that was allowed.
    skipped : tuple of SkippedPath
        What stays at 16 bits.
    attempts : tuple of Attempt
        All that was tried, in order.
    sensitivity : Sensitivity, optional
        What ordered the attempts; None where the recipe was good enough as it was.
    """

    float_loss: float
    recipe_loss: float
    loss: float
    max_loss: float
    skipped: tuple[SkippedPath, ...]
    attempts: tuple[Attempt, ...]
    sensitivity: Sensitivity | None

    def to_dict(self) -> dict[str, Any]:
        """For programs and reports."""
        return {
            "float_loss": self.float_loss,
            "recipe_loss": self.recipe_loss,
            "loss": self.loss,
            "max_loss": self.max_loss,
            "skipped": [path.to_dict() for path in self.skipped],
            "attempts": [
                {"wide": [str(part) for part in attempt.wide], "loss": attempt.loss}
                for attempt in self.attempts
            ],
            "sensitivity": self.sensitivity.to_dict() if self.sensitivity else None,
        }


class _Search:
    """Quantizes with chosen parts at 16 bits, each choice once."""

    def __init__(self, trials: Trials, recipe: Recipe):
        assert recipe.max_loss is not None
        self.trials = trials
        self.max_loss = recipe.max_loss
        self.recipe = replace(recipe, max_loss=None)
        self.plan = trials.plan(self.recipe)
        self.float_loss = trials.float_loss
        self.losses: dict[frozenset[Part], float] = {}
        self.attempts: list[Attempt] = []

    def recipe_of(self, wide: Collection[Part]) -> Recipe:
        """The recipe with parts at 16 bits, its thresholds as large as before."""
        if not wide:
            return self.recipe
        found = widened(self.recipe, self.trials.network, wide)
        # The new units of thresholds follow from formats, which do not depend on thresholds.
        return keep_thresholds(found, self.plan, self.trials.plan(replace(found, theta=0)))

    def loss(self, wide: Collection[Part]) -> float:
        """The loss with parts at 16 bits."""
        key = frozenset(wide)
        if key not in self.losses:
            self.losses[key] = self.trials.loss(self.trials.model(self.recipe_of(wide)))
            self.attempts.append(Attempt(tuple(wide), self.losses[key]))
        return self.losses[key]

    def within(self, wide: Collection[Part]) -> bool:
        """Whether the loss is within the bound."""
        limit, loss = self.float_loss + self.max_loss, self.loss(wide)
        return loss <= limit or math.isclose(loss, limit, rel_tol=CLOSE)


def skip_paths(trials: Trials, recipe: Recipe, say: Say | None = None) -> tuple[Any, Skipping]:
    """The model whose loss is at most ``recipe.max_loss`` above the float network's.

    The inputs of products are left at 16 bits, the most sensitive ones first, until the loss is
    within the bound; if all of them are not enough, weights follow. Then each is made narrow
    again, the least sensitive ones first, where the bound still holds: none of what is skipped
    can be left out.

    Raises
    ------
    DeltaloomError
        If no choice of paths comes within the bound.
    """
    search = _Search(trials, recipe)
    wide: list[Part] = []
    sensitivity = None
    if not search.within(wide):
        sensitivity = measure_sensitivity(trials, search.recipe, say)
        wide = _grown(search, sensitivity, say)
        wide = _pruned(search, wide)
    model = trials.model(search.recipe_of(wide))
    return model, Skipping(
        search.float_loss,
        search.loss([]),
        search.loss(wide),
        search.max_loss,
        tuple(_skipped(search, model, wide)),
        tuple(search.attempts),
        sensitivity,
    )


def _grown(search: _Search, sensitivity: Sensitivity, say: Say | None) -> list[Part]:
    """The most sensitive parts, as many as the bound needs."""
    parts = [
        row.part
        for what in (ACTIVATIONS, WEIGHTS)
        for row in sensitivity.rows
        if row.part.what == what
    ]
    wide: list[Part] = []
    with counted("Skipping", len(parts), say) as step:
        for part in parts:
            wide.append(part)
            within = search.within(wide)
            step(f"{part} at 16 bits too, loss {shown(search.loss(wide))}")
            if within:
                return wide
    best = min(search.losses, key=lambda key: search.losses[key])
    reached = search.losses[best]
    names = ", ".join(str(part) for part in parts if part in best) or "nothing"
    raise DeltaloomError(
        f"Recipe max_loss must be at least {reached - search.float_loss:.6g} for this network and "
        f"recipe, not {search.max_loss:g}: the least loss that was reached is {shown(reached)}, "
        f"with {names} at 16 bits, where the float network's is {shown(search.float_loss)}"
    )


def _pruned(search: _Search, wide: list[Part]) -> list[Part]:
    """Without the parts that the bound does not need."""
    for part in reversed(wide[:-1]):
        fewer = [other for other in wide if other != part]
        if search.within(fewer):
            wide = fewer
    return wide


def _skipped(search: _Search, model: Any, wide: list[Part]) -> list[SkippedPath]:
    trials, recipe = search.trials, search.recipe
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    if wide and recipe.skip != Skip.NONE.value:
        before = trials.eliminated(trials.model(recipe))
        after = trials.eliminated(model)
    return [
        SkippedPath(
            part,
            tuple(part.widths(trials.network, recipe)),
            before.get(part.path) if part.what == ACTIVATIONS else None,
            after.get(part.path) if part.what == ACTIVATIONS else None,
        )
        for part in wide
    ]
