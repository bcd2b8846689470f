"""What a search for thresholds found: points, their front, and the best one within a loss."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from .. import plots
from ..compiler.errors import DeltaloomError
from ..compiler.recipe import Recipe
from ..sim.activity import Activity
from .sensitivity import in_columns
from .trials import Evaluate, loss_of

__all__ = ["Exploration", "Point", "at_most", "point_row"]

TITLES = (
    *("error", "operations eliminated", "weight accesses eliminated"),
    *("cycles a timestep", "weight bytes", "thresholds and widths"),
)
FIGURES, PICTURE, RECIPE, MODEL = (
    *("exploration.json", "exploration.svg", "recipe.toml", "model.safetensors"),
)


@dataclass(frozen=True)
class Point:
    """A combination of thresholds, and of widths if these were searched too.

    Parameters
    ----------
    error : float
        As ``evaluate`` gave it.
    thresholds : dict of str to dict of str to int
        By layer and operand.
    recipe : Recipe, optional
        What quantizes the model to this point; None where an integer model was explored.
    model : QuantizedModel
        The model itself, with its recipe.
    activity : Activity
        What was left out of the runs that ``evaluate`` made. Its cycles a timestep are those of
        the exact cycle model, over the first sequences of these runs; points of the front alone
        have them.
    bytes : int
        Of weights.
    """

    error: float
    thresholds: dict[str, dict[str, int]]
    recipe: Recipe | None
    model: Any
    activity: Activity
    bytes: int

    @property
    def operations_eliminated(self) -> float:
        """Share of the multiply-accumulates that were left out."""
        return self.activity.operations.eliminated

    @property
    def weight_accesses_eliminated(self) -> float:
        """Share of the reads of weight memories that were left out."""
        words = self.activity.words
        assert words is not None
        return words.eliminated

    @property
    def cycles(self) -> float | None:
        """Clock cycles a timestep; points of the front alone have them."""
        return self.activity.cycles

    def to_dict(self) -> dict[str, Any]:
        """For programs and reports."""
        paths = {} if self.recipe is None else self.recipe.paths
        return {
            "error": self.error,
            "operations_eliminated": self.operations_eliminated,
            "weight_accesses_eliminated": self.weight_accesses_eliminated,
            "cycles_a_timestep": self.cycles,
            "bytes": self.bytes,
            "thresholds": self.thresholds,
            "paths": {name: dict(values) for name, values in paths.items()},
        }


@dataclass(frozen=True)
class Exploration:
    """What a search found.

    Parameters
    ----------
    points : tuple of Point
        All that was measured, in order; the first one is the recipe as it was given.
    front : tuple of Point
        Of those within the search's loss, the ones that none other beats in error and operations,
        and in bytes if widths were searched; the least error first.
    reference : float
        Error that losses are counted from.
    lanes : dict of str to int
        By layer: lanes that weight accesses and cycles were counted for.
    """

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    reference: float
    lanes: dict[str, int]

    def best(self, max_loss: float, confirm: Evaluate | None = None) -> Point:
        """The point that leaves out the most operations within a loss.

        Parameters
        ----------
        max_loss : float
            By which its error may exceed the reference.
        confirm : callable, optional
            As ``evaluate``, on other data. Of hundreds of points some are good by chance on the
            data that chose them; each is confirmed in its turn, until one loses no more on these
            data either, against the first point.

        Raises
        ------
        DeltaloomError
            If there is no such point.
        """
        within = [p for p in self.points if at_most(p.error, self.reference + max_loss)]
        within.sort(key=lambda point: (-point.operations_eliminated, point.error))
        if confirm is None:
            confirmed = iter(within)
        else:
            allowed = loss_of(confirm, self.points[0].model) + max_loss
            confirmed = (p for p in within if at_most(loss_of(confirm, p.model), allowed))
        for point in confirmed:
            return point
        least = min(point.error for point in self.points)
        raise DeltaloomError(
            f"Loss must be at least {least - self.reference:g} for one of the "
            f"{len(self.points)} points"
            + (" that is confirmed" if confirm else "")
            + f", not {max_loss:g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs and reports: the front whole, of all other points the figures."""
        return {
            "reference": self.reference,
            "lanes": self.lanes,
            "measured": len(self.points),
            "front": [point.to_dict() for point in self.front],
            "points": [
                {
                    "error": point.error,
                    "operations_eliminated": point.operations_eliminated,
                    "bytes": point.bytes,
                }
                for point in self.points
            ],
        }

    def to_json(self) -> str:
        """The dictionary as one JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def table(self) -> list[tuple[str, ...]]:
        """Titles, then the points of the front."""
        return [TITLES, *map(point_row, self.front)]

    def __str__(self) -> str:
        return in_columns(self.table())

    def draw(self, path: str | PathLike[str]) -> Path:
        """Draw the front and all points as SVG, PNG or PDF."""

        def series(label: str, points: Sequence[Point], line: bool) -> plots.Series:
            shares = [100 * point.operations_eliminated for point in points]
            return plots.Series(label, shares, [point.error for point in points], line)

        front = sorted(self.front, key=lambda point: point.operations_eliminated)
        panel = plots.Lines(
            "Operations that thresholds eliminate",
            "operations eliminated, %",
            "error",
            (
                series("measured", self.points, False),
                series("Pareto front", front, True),
                series("as the recipe is", self.points[:1], False),
            ),
        )
        return plots.draw(path, panel)

    def write(
        self,
        folder: str | PathLike[str],
        best: Point | None = None,
        *,
        picture: bool = True,
    ) -> Path:
        """Write figures and picture, and recipe and model of the best point, if one is given.

        A folder that holds an exploration is replaced as a whole; any other one that is not empty
        is refused.
        """
        target = Path(folder)
        if target.exists() and not target.is_dir():
            raise DeltaloomError(f"Folder {target} must be a folder, not a file")
        if target.exists() and any(target.iterdir()) and not (target / FIGURES).exists():
            raise DeltaloomError(
                f"Folder {target} must be empty or hold an exploration; it holds others"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            aside.chmod(0o755)
            found = {**self.to_dict(), "best": None if best is None else best.to_dict()}
            (aside / FIGURES).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
            if picture:
                self.draw(aside / PICTURE)
            if best is not None:
                best.model.save(aside / MODEL)
                if best.recipe is not None:
                    best.recipe.save(aside / RECIPE)
            old = aside.with_name(f"{aside.name}.old")
            if target.exists():
                os.rename(target, old)
            os.rename(aside, target)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return target


def point_row(point: Point) -> tuple[str, ...]:
    """A row of the table."""
    return (
        f"{point.error:.6g}",
        f"{point.operations_eliminated:.1%}",
        f"{point.weight_accesses_eliminated:.1%}",
        "-" if point.cycles is None else f"{point.cycles:.1f}",
        f"{point.bytes:,}",
        named(point),
    )


def named(point: Point) -> str:
    """Thresholds and widths of a point in one line."""
    found = [
        f"{layer}.{operand} {theta}"
        for layer, operands in point.thresholds.items()
        for operand, theta in operands.items()
        if theta > 1
    ]
    for pattern, values in {} if point.recipe is None else point.recipe.paths.items():
        found.append(f"{pattern} {'/'.join(map(str, values.values()))}")
    return ", ".join(found) or "none"


def at_most(error: float, bound: float) -> bool:
    """Whether an error is within a bound, which a sum of rounded numbers may miss by a hair."""
    return error <= bound or math.isclose(error, bound)
