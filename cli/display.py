"""What the command line shows: tables of results, and progress on the error stream."""

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..boards.catalogue import Board
from ..compiler.errors import DoesNotFitError, MismatchError
from ..search.exploration import Exploration, Point, point_row
from ..search.skipping import Skipping
from ..sim.activity import Activity, LayerActivity

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "UNUSABLE",
    "Progress",
    "activity_table",
    "board_table",
    "by_layer",
    "by_operand",
    "complain",
    "exploration_tables",
    "facts",
    "layer_table",
    "plain",
    "report_tables",
    "run_tables",
    "skipping_table",
    "table",
    "text_table",
]

RESOURCES = {
    "luts": "LUTs",
    "carries": "carry cells",
    "flip_flops": "flip flops",
    "multipliers": "mults",
    "block_rams": "block RAMs",
    "single_port_rams": "large RAMs",
    "distributed_rams": "LUT RAMs",
}
DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done, a check failed, unusable input or a missing tool, interrupted by the user."""


def complain(error: Exception) -> tuple[str, int]:
    """Say on stderr what is wrong; the sentence and the exit code."""
    sentence = str(error)
    if isinstance(error, OSError):
        sentence = f"File {error.filename} cannot be used: {error.strerror}"
    sentence = " ".join(sentence.split())
    print(f"deltaloom: {sentence}", file=sys.stderr)
    failed = isinstance(error, DoesNotFitError | MismatchError)
    return sentence, FAILED if failed else UNUSABLE


class Progress:
    """Steps of a long command on stderr: a line for each, and a spinner on a terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.started: dict[str, float] = {}

    def __enter__(self) -> "Progress":
        self.status = self.console.status("")
        self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def say(self, text: str) -> None:
        """A step begins."""
        self.status.update(escape(text))
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {escape(text)}")

    def show(self, text: str) -> None:
        """How far a step is: on a terminal alone, in the place of what was shown before."""
        self.status.update(escape(text))

    def step(self, name: str, done: bool | None) -> None:
        """A step begins (False), ends (True), or needs no run (None)."""
        if done is False:
            self.started[name] = time.monotonic()
            self.say(name)
        elif done:
            self.say(f"{name} done in {time.monotonic() - self.started[name]:.1f} s")
        else:
            self.say(f"{name} is up to date")


def plain(value: Any) -> Any:
    """A value as JSON has it: lists and dicts; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table: the first column names, the others are numbers."""
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for position, column in enumerate(columns):
        made.add_column(
            column,
            justify="right" if position else "left",
            no_wrap=not position,
            min_width=max(map(len, column.split())),
        )
    for row in rows:
        made.add_row(*map(text, row))
    return made


def facts(title: str, values: Mapping[str, Any]) -> Table:
    """A table of one fact a line."""
    made = Table(title=title, title_justify="left", show_header=False, box=SIMPLE_HEAD)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(name, text(value))
    return made


def text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
    return str(value)


def percent(share: float) -> str:
    return f"{share:.1%}" if np.isfinite(share) else "-"


def by_layer(shares: Mapping[str, float]) -> str:
    """A share of each layer, in one line."""
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())


def by_operand(shares: Mapping[str, Mapping[str, float]]) -> str:
    """A share of each layer's operands, in one line."""
    return by_layer(
        {
            f"{layer} {operand}": share
            for layer, operands in shares.items()
            for operand, share in operands.items()
        }
    )


def layer_table(layers: list[dict[str, Any]]) -> Table:
    """Layers of a manifest: how each is folded, stage by stage."""
    columns = {
        "cell": "cell",
        "units": "units",
        "skip": "skip",
        "lanes": "lanes",
        "blocks": "blocks",
        "folds": "folds",
        "accumulator_bits": "sum bits",
        "cycles_per_dense_timestep": "dense cycles",
    }

    def cell(layer: dict[str, Any], key: str) -> Any:
        if key in layer:
            return layer[key]
        return " + ".join(str(stage[key]) for stage in layer["stages"])

    rows = [[layer["name"], *(cell(layer, key) for key in columns)] for layer in layers]
    return table("Schedule", ["layer", *columns.values()], rows)


def run_tables(summary: dict[str, Any], utilization: dict, activity: Activity) -> list[Table]:
    """A simulation: its totals, each layer's utilization, and what was skipped."""
    rows = [[name, percent(share)] for name, share in utilization.items()]
    lanes = table("Lanes", ["layer", "utilization"], rows)
    return [facts("Simulation", summary), lanes, activity_table(activity)]


def activity_table(activity: Activity) -> Table:
    """What each layer and all together left out: columns by operand, operations, weight reads."""
    names = list(activity.columns)
    columns = [f"{name} columns" for name in names]
    columns += ["all columns", "operations", "weight accesses"]

    def row(name: str, found: Activity | LayerActivity) -> list[str]:
        shares = [found.columns.get(operand) for operand in names]
        shares += [found.together, found.operations, found.words]
        return [name, *("-" if share is None else percent(share.eliminated) for share in shares)]

    rows = [row(name, layer) for name, layer in activity.layers.items()]
    if len(rows) > 1:
        rows.append(row("all layers", activity))
    return table("Eliminated", ["layer", *columns], rows)


def skipping_table(skipping: Skipping) -> Table:
    """What a search left at 16 bits, and what sparsity that costs."""
    rows = [
        [
            str(path.part),
            ", ".join(path.widths),
            *(
                None if share is None else percent(share)
                for share in (path.eliminated_narrow, path.eliminated_wide)
            ),
        ]
        for path in skipping.skipped
    ]
    title = (
        f"At 16 bits: loss {skipping.loss:.6g}, as the recipe was {skipping.recipe_loss:.6g}, "
        f"float {skipping.float_loss:.6g}, allowed {skipping.max_loss:.6g} more"
    )
    columns = ["path", "narrow", "columns left out, narrow", "columns left out, 16 bits"]
    return table(title, columns, rows)


def text_table(title: str, lines: list[tuple[str, ...]]) -> Table:
    """A table whose first line has the titles and whose cells are text already."""
    return table(title, lines[0], lines[1:])


def exploration_tables(found: Exploration, best: Point) -> list[Table]:
    """The front of a search for thresholds, and the point that was chosen."""
    titles, *rows = found.table()
    front = table("Pareto front", titles[:-1], [row[:-1] for row in rows])
    chosen = dict(zip(titles, point_row(best), strict=True))
    return [front, facts(f"Best of {len(found.points)} points", chosen)]


def board_table(boards: list[Board]) -> Table:
    """The catalogue of boards."""
    columns = ["luts", "multipliers", "block_rams", "single_port_rams"]
    rows = [
        [board.name, board.device, *(getattr(board, name) for name in columns)]
        + [f"{board.oscillator / 1e6:g}"]
        for board in boards
    ]
    titles = [RESOURCES[name] for name in columns]
    return table("Boards", ["board", "device", *titles, "MHz"], rows)


def report_tables(report: dict[str, Any], *, deep: bool = False) -> list[Table]:
    """A build: cells by component, those of the top level or all, then speed and products."""
    kinds = [kind for kind, count in report["cells"].items() if count]
    rows = [
        [f"{'  ' * path.count('.')}{path.split('.')[-1]}", *(cells[kind] for kind in kinds)]
        for path, cells in report["components"].items()
        if deep or "." not in path
    ]
    rows.append(["total", *(report["cells"][kind] for kind in kinds)])
    rows.append(["board has", *(report["available"].get(kind) for kind in kinds)])
    columns = ["component", *(RESOURCES[kind] for kind in kinds)]
    build = {
        "clock reached, MHz": report["mhz"],
        "clock asked for, MHz": report["constraint"],
        "met": report["met"],
        "logic cells": report["logic_cells"],
        "seed": report["seed"],
        "bitstream": report["bitstream"],
    }
    return [table(f"Cells on {report['board']}", columns, rows), facts("Build", build)]
