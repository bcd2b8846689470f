"""Pictures of measured figures: panels side by side in one SVG, PNG or PDF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .compiler.errors import DeltaloomError, ToolMissingError
from .compiler.written_aside import written_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KINDS", "Bars", "HeatMap", "Lines", "Panel", "Series", "draw", "require"]

KINDS = (".svg", ".png", ".pdf")
"""Endings of the files that can be drawn."""

PANEL_SIZE = (6.4, 4.2)
"""Width and height of a panel, in inches."""


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Parameters
    ----------
    label : str
        What the legend says.
    x, y : sequence of float
        Of equal length; NaN leaves a gap.
    line : bool
        Whether the points are joined in the order they come in.
    names : sequence of str
        Written beside each point; empty: nothing is.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    line: bool = True
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """Base of what can be drawn.

    Parameters
    ----------
    title, x_label, y_label : str
        Texts of the panel and its axes.
    """

    title: str
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Lines(Panel):
    """Series over common axes, as a Pareto front or a curve against a budget.

    Parameters
    ----------
    series : sequence of Series
        Drawn in order.
    log_x, log_y : bool
        Whether an axis is logarithmic: base 2 for x, 10 for y.
    """

    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Bars(Panel):
    """A horizontal bar for each name, the first one on top.

    Parameters
    ----------
    values : mapping of str to float
        Length of each bar.
    marked : sequence of str
        Names whose bars stand out.
    """

    values: Mapping[str, float]
    marked: Sequence[str] = ()


@dataclass(frozen=True)
class HeatMap(Panel):
    """A grid of coloured cells, each with its value written in it.

    Parameters
    ----------
    values : numpy.ndarray
        Float (rows, columns); NaN leaves a cell empty.
    rows, columns : sequence
        What stands beside each row, from top to bottom, and below each column.
    shown : str
        Format specification of a cell's value.
    """

    values: np.ndarray
    rows: Sequence[Any]
    columns: Sequence[Any]
    shown: str = ".3g"


def require() -> None:
    """Raise ToolMissingError if matplotlib is not installed: before long work ends in a picture."""
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise ToolMissingError(
            "Package matplotlib is not installed: pip install 'deltaloom[plots]' brings it"
        ) from error


def draw(path: str | PathLike[str], *panels: Panel) -> Path:
    """Write panels side by side; the file appears whole or not at all, with the same bytes twice.

    Raises
    ------
    ToolMissingError
        If matplotlib is not installed.
    DeltaloomError
        If the file's ending is none of :data:`KINDS`, or it cannot be written.
    """
    target = Path(path)
    if target.suffix not in KINDS:
        raise DeltaloomError(f"Picture must end in {', '.join(KINDS)}, not '{target.name}'")
    require()
    import matplotlib
    from matplotlib.figure import Figure

    # A salt of its own makes the ids within an SVG file the same at every run.
    with matplotlib.rc_context({"svg.hashsalt": "deltaloom", "svg.fonttype": "none"}):
        width, height = PANEL_SIZE
        figure = Figure(figsize=(width * len(panels), height), layout="constrained")
        for panel, axes in zip(panels, np.ravel(figure.subplots(1, len(panels))), strict=True):
            axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
            draw_panel(panel, axes)
        dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        with written_aside(target, "Picture") as aside:
            target.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(aside, metadata=dated.get(target.suffix))
    return target


def draw_panel(panel: Panel, axes: Axes) -> None:
    match panel:
        case Lines():
            draw_lines(panel, axes)
        case Bars():
            names = list(panel.values)
            colors = ["C3" if name in panel.marked else "C0" for name in names]
            bars = axes.barh(range(len(names)), [panel.values[n] for n in names], color=colors)
            axes.bar_label(bars, fmt="%.3g", padding=2, fontsize=7)
            axes.set_yticks(range(len(names)), names, fontsize=7)
            axes.invert_yaxis()
            axes.margins(x=0.12)
        case HeatMap():
            draw_heat_map(panel, axes)
        case _:
            raise TypeError(f"Panel must be Lines, Bars or HeatMap, not {panel!r}")


def draw_lines(panel: Lines, axes: Axes) -> None:
    for series in panel.series:
        style = "o-" if series.line else "o"
        axes.plot(series.x, series.y, style, label=series.label, markersize=4)
        for name, x, y in zip(series.names, series.x, series.y, strict=bool(series.names)):
            axes.annotate(name, (x, y), (3, 3), textcoords="offset points", fontsize=7)
    if panel.log_x:
        axes.set_xscale("log", base=2)
    if panel.log_y:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def draw_heat_map(panel: HeatMap, axes: Axes) -> None:
    values = np.asarray(panel.values, dtype=np.float64)
    if values.shape != (len(panel.rows), len(panel.columns)):
        raise ValueError(
            f"Values must have shape ({len(panel.rows)}, {len(panel.columns)}), not {values.shape}"
        )
    axes.imshow(values, aspect="auto", cmap="viridis")
    axes.set_yticks(range(len(panel.rows)), list(map(str, panel.rows)))
    axes.set_xticks(range(len(panel.columns)), list(map(str, panel.columns)))
    middle = (np.nanmin(values) + np.nanmax(values)) / 2 if np.isfinite(values).any() else 0
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if value < middle else "black"
            text = format(value, panel.shown)
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
