"""Widths of weights and activations against the memory they take and the loss they cost."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..compiler.artifact import ModelBytes, model_bytes
from ..compiler.errors import DeltaloomError
from ..compiler.recipe import Recipe
from ..compiler.recipe_values import check_encoding, check_integers
from ..compiler.written_aside import written_aside
from .front import pareto_front
from .progress import Say, counted
from .sensitivity import finite, in_columns, shown
from .trials import Trials

__all__ = ["WIDTHS", "Sweep", "SweepPoint", "sweep_widths"]

WIDTHS = range(2, 9)
JSON, PICTURE = "sweep.json", "sweep.svg"


@dataclass(frozen=True)
class SweepPoint:
    """The network in one pair of widths.

    Parameters
    ----------
    weights, activations : str
        As a recipe calls them.
    loss, error : float, optional
        What ``evaluate`` gives; or without it the signal-to-quantization-noise ratio in dB of the
        outputs on the calibration data.
    bytes : ModelBytes
        What a model file stores.
    """

    weights: str
    activations: str
    loss: float | None
    error: float | None
    bytes: ModelBytes

    @property
    def cost(self) -> float:
        """What is small for a good point: the loss, or the ratio in dB turned round."""
        if self.loss is not None:
            return self.loss
        assert self.error is not None
        return -self.error


@dataclass(frozen=True)
class Sweep:
    """Fixed-point arithmetic of all widths (Rapuano, Pacini and Fanucci 2022).

    Parameters
    ----------
    points : tuple of SweepPoint
        Each pair of widths, weights by weights.
    float_loss : float, optional
        What ``evaluate`` gives for the float network.
    """

    points: tuple[SweepPoint, ...]
    float_loss: float | None

    @property
    def front(self) -> tuple[SweepPoint, ...]:
        """Points that are better than all that take no more bytes, the smallest first."""
        return tuple(pareto_front(self.points, lambda point: (point.bytes.total, point.cost)))

    def smallest(self, max_loss: float) -> SweepPoint:
        """The point that takes the fewest bytes within a loss above the float network's.

        Of those that take as many, the one with the least loss. DeltaloomError if there is none.
        """
        if self.float_loss is None:
            raise DeltaloomError("Sweep must have been made with evaluate to have losses")
        for point in self.front:
            if point.cost <= self.float_loss + max_loss:
                return point
        least = min(point.cost for point in self.points)
        raise DeltaloomError(
            f"Loss above the float network's must be at least {least - self.float_loss:.6g} for "
            f"one of the {len(self.points)} points, not {max_loss:g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs; an error that is not finite is None."""
        front = {(point.weights, point.activations) for point in self.front}
        return {
            "float_loss": self.float_loss,
            "float_bytes": self.points[0].bytes.float32,
            "points": [
                {
                    "weights": point.weights,
                    "activations": point.activations,
                    "loss": point.loss,
                    "error_db": None if point.error is None else finite(point.error),
                    "bytes": point.bytes.total,
                    "weight_bytes": point.bytes.weights,
                    "bias_bytes": point.bytes.biases,
                    "table_bytes": point.bytes.tables,
                    "on_front": (point.weights, point.activations) in front,
                }
                for point in self.points
            ],
        }

    def table(self) -> list[tuple[str, ...]]:
        """Titles, then the points of the front."""
        rows = [
            (
                point.weights,
                point.activations,
                f"{point.bytes.total:,}",
                f"{1 - point.bytes.total / point.bytes.float32:.1%}",
                shown(point.loss) if point.loss is not None else f"{point.error:.1f} dB",
            )
            for point in self.front
        ]
        float_row = ("float32", "", f"{self.points[0].bytes.float32:,}", "0.0%")
        return [
            ("weights", "activations", "bytes", "saved", "loss"),
            *rows,
            (*float_row, shown(self.float_loss)),
        ]

    def __str__(self) -> str:
        return in_columns(self.table())

    def draw(self, path: str | PathLike[str]) -> Path:
        """Draw all points, and memory against loss, as SVG, PNG or PDF."""
        weights = list(dict.fromkeys(point.weights for point in self.points))
        activations = list(dict.fromkeys(point.activations for point in self.points))
        by_loss = self.float_loss is not None
        what = "loss" if by_loss else "error, dB"

        def value(point: SweepPoint) -> float:
            return point.cost if by_loss else -point.cost

        def series(label: str, points: Iterable[SweepPoint], line: bool) -> plots.Series:
            chosen = list(points)
            names = [f"{p.weights}, {p.activations}" for p in chosen] if line else []
            kibibytes = [p.bytes.total / 1024 for p in chosen]
            return plots.Series(label, kibibytes, list(map(value, chosen)), line, names)

        grid = np.reshape([value(p) for p in self.points], (len(weights), len(activations)))
        grid = np.where(np.isfinite(grid), grid, np.nan)
        lines = [series("measured", self.points, False), series("front", self.front, True)]
        if self.float_loss is not None:
            size = self.points[0].bytes.float32 / 1024
            lines.append(plots.Series("float32", [size], [self.float_loss], False))
        return plots.draw(
            path,
            plots.HeatMap(what, "activations", "weights", grid, weights, activations),
            plots.Lines("Memory", "weights, biases and tables, KiB", what, lines, log_x=True),
        )

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write ``sweep.json`` and ``sweep.svg``; each appears whole or not at all."""
        place = Path(folder)
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        with written_aside(place / JSON, "Sweep") as aside:
            place.mkdir(parents=True, exist_ok=True)
            aside.write_text(text)
        return [place / JSON, self.draw(place / PICTURE)]


def sweep_widths(
    trials: Trials,
    recipe: Recipe,
    weights: Iterable[int | str],
    activations: Iterable[int | str],
    say: Say | None = None,
) -> Sweep:
    """Quantize with every pair of widths; all share one calibration."""
    if recipe.max_loss is not None:
        raise DeltaloomError("Recipe max_loss must be left out of a sweep, which has no bound")
    if recipe.theta:
        raise DeltaloomError(
            "Recipe theta must be 0 in a sweep: its unit changes with the width of activations"
        )
    rows = names_of("weights", weights, check_encoding)
    columns = names_of("activations", activations, check_integers)
    pairs = [replace(recipe, weights=w, activations=a) for w in rows for a in columns]
    found = []
    with counted("Sweep", len(pairs), say) as step:
        for asked in pairs:
            model = trials.model(asked)
            loss = trials.loss(model) if trials.evaluates else None
            error = None if trials.evaluates else trials.error(model)
            size = model_bytes(model.network)
            found.append(SweepPoint(asked.weights, asked.activations, loss, error, size))
            result = f"{error:.1f} dB" if loss is None else f"loss {shown(loss)}"
            step(f"{asked.weights} weights, {asked.activations} activations: {result}")
    return Sweep(tuple(found), trials.float_loss if trials.evaluates else None)


def names_of(
    what: str, widths: Iterable[int | str], check: Callable[[str, object], None]
) -> list[str]:
    """``int4`` for 4, and names as they are; what no recipe knows is refused."""
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise DeltaloomError(f"Sweep {what} must be several widths, not {widths!r}")
    names: list[str] = []
    for width in widths:
        name = f"int{width}" if isinstance(width, int | np.integer) else width
        check(what, name)
        if name in names:
            raise DeltaloomError(f"Sweep {what} must be different widths, not {name} twice")
        names.append(name)
    if not names:
        raise DeltaloomError(f"Sweep {what} must be at least one width")
    return names
