"""How much each path's quantization alone costs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..compiler.integer import Skip
from ..compiler.recipe import Recipe
from .paths import Part, narrow_parts, widened
from .progress import Say, counted
from .trials import Trials

__all__ = ["PathSensitivity", "Sensitivity", "measure_sensitivity"]

TITLES = ("path", "what", "width", "error, dB", "loss")


@dataclass(frozen=True)
class PathSensitivity:
    """What one part of a path costs when all others have 16 bits.

    Parameters
    ----------
    part : Part
        What is quantized.
    widths : tuple of str
        To what; several where gates differ.
    error : float
        Signal-to-quantization-noise ratio of the network's outputs, in dB: small is bad.
    loss : float, optional
        What ``evaluate`` gives; None without it.
    """

    part: Part
    widths: tuple[str, ...]
    error: float
    loss: float | None


@dataclass(frozen=True)
class Sensitivity:
    """What quantization costs, path by path (Rezk et al. 2022).

    Parameters
    ----------
    rows : tuple of PathSensitivity
        The most sensitive part first: by loss, and by error where losses are equal or missing.
    wide_error, recipe_error : float
        Signal-to-quantization-noise ratio in dB with every part at 16 bits, and with all as the
        recipe has them.
    float_loss, wide_loss, recipe_loss : float, optional
        Losses of the float network and of these two.
    """

    rows: tuple[PathSensitivity, ...]
    wide_error: float
    recipe_error: float
    float_loss: float | None = None
    wide_loss: float | None = None
    recipe_loss: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For programs; an error that is not finite is None."""
        return {
            "paths": [
                {
                    "path": row.part.path,
                    "what": row.part.what,
                    "widths": list(row.widths),
                    "error_db": finite(row.error),
                    "loss": row.loss,
                }
                for row in self.rows
            ],
            "wide": {"error_db": finite(self.wide_error), "loss": self.wide_loss},
            "recipe": {"error_db": finite(self.recipe_error), "loss": self.recipe_loss},
            "float": {"loss": self.float_loss},
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def table(self) -> list[tuple[str, ...]]:
        """Titles, then a row for each part, then the network as the recipe, 16 bits and float."""
        rows = [
            (row.part.path, row.part.what, ", ".join(row.widths), row.error, row.loss)
            for row in self.rows
        ]
        rows += [
            ("all", "", "recipe", self.recipe_error, self.recipe_loss),
            ("all", "", "int16", self.wide_error, self.wide_loss),
        ]
        if self.float_loss is not None:
            rows.append(("all", "", "float", math.inf, self.float_loss))
        return [TITLES, *((*names, f"{error:.1f}", shown(loss)) for *names, error, loss in rows)]

    def __str__(self) -> str:
        return in_columns(self.table())


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def shown(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.6g}"


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Lines of text whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def measure_sensitivity(trials: Trials, recipe: Recipe, say: Say | None = None) -> Sensitivity:
    """Quantize each part of each path alone, the rest at 16 bits.

    Thresholds are left out: what is measured is quantization.
    """
    recipe = replace(recipe, skip=Skip.NONE.value, theta=0, max_loss=None)
    parts = narrow_parts(trials.network, recipe)
    recipes: dict[Part | str, Recipe] = {
        part: widened(recipe, trials.network, [other for other in parts if other != part])
        for part in parts
    }
    recipes |= {"recipe": recipe, "wide": widened(recipe, trials.network, parts)}
    found: dict[Part | str, tuple[float, float | None]] = {}
    with counted("Sensitivity", len(recipes), say) as step:
        for name, asked in recipes.items():
            model = trials.model(asked)
            error = trials.error(model)
            loss = trials.loss(model) if trials.evaluates else None
            found[name] = error, loss
            step(f"{name} {error:.1f} dB" + ("" if loss is None else f", loss {loss:.6g}"))
    rows = [
        PathSensitivity(part, tuple(part.widths(trials.network, recipe)), *found[part])
        for part in parts
    ]
    rows.sort(key=lambda row: (-(row.loss or 0.0), row.error))
    return Sensitivity(
        tuple(rows),
        found["wide"][0],
        found["recipe"][0],
        trials.float_loss if trials.evaluates else None,
        found["wide"][1],
        found["recipe"][1],
    )
