"""Activation tables: how far off they are and what they take, against their segments."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from deltaloom.boards import catalogue, flow
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.functions import function_of
from deltaloom.compiler.pwl import PiecewiseLinear, table_error
from deltaloom.compiler.pwl_adaptive import MAX_SEGMENTS, fit_adaptive
from deltaloom.compiler.pwl_uniform import fit
from deltaloom.hw.pwl import Activation, line_layout
from deltaloom.plots import Lines, Series, draw

from .figures import RESULTS, Figure

__all__ = ["figures", "measure", "picture"]

FOLDER = Path(__file__).parents[1] / "build" / "bench"
BOARD = "ulx3s_85f"
FUNCTIONS = ("sigmoid", "tanh", "exp")
WIDTHS = (16, 8)
SEGMENTS = (4, 8, 16, 32, 64, 128, 256, 512)
WHOLE_BITS = 3
"""Exp has inputs in [-8, 8)."""

READERS = (512, 256, 128, 64)
"""Segments of 16-bit tables that two readers share, or do not."""


class Reader(wiring.Component):
    """Two reads of a table's lines in each cycle: from one memory, or from one each."""

    def __init__(self, table: PiecewiseLinear, *, shared: bool):
        self._table, self._shared = table, shared
        address = range(len(table.base))
        word = line_layout(table)
        super().__init__(
            {
                **{f"address_{n}": In(address) for n in range(2)},
                **{f"line_{n}": Out(word) for n in range(2)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lines = [
            {"base": base, "slope": slope}
            for base, slope in zip(
                self._table.base.tolist(), self._table.slope.tolist(), strict=True
            )
        ]
        count = 1 if self._shared else 2
        memories = [
            memory.Memory(
                shape=line_layout(self._table),
                depth=len(lines),
                init=lines,
                attrs={"ram_style": "block"},
            )
            for _ in range(count)
        ]
        for n, stored in enumerate(memories):
            m.submodules[f"lines_{n}"] = stored
        for n in range(2):
            read = memories[n % count].read_port()
            m.d.comb += [
                read.addr.eq(getattr(self, f"address_{n}")),
                getattr(self, f"line_{n}").eq(read.data),
            ]
        return m


def tables(name: str, width: int) -> Iterator[tuple[str, int, PiecewiseLinear]]:
    """Tables of a function by kind and segments, as far as there are any."""
    function = function_of(name)
    calibrated = Format(width, width - 1 - WHOLE_BITS)
    source = function.source(calibrated)
    target = function.target(source, calibrated)
    for segments in SEGMENTS:
        if segments <= 1 << source.width:
            yield "uniform", segments, fit(function, source, target, segments=segments)
        if segments <= min(MAX_SEGMENTS, 1 << source.width):
            adaptive = fit_adaptive(function, source, target, segments=segments)
            yield "adaptive", segments, adaptive


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Synthesis alone; a picture goes beside the results."""
    board = catalogue.get(BOARD)
    cases = []
    for name in FUNCTIONS:
        for width in WIDTHS:
            for kind, segments, table in tables(name, width):
                progress(f"{name}, {width} bits, {segments} {kind} segments")
                folder = FOLDER / f"table-{name}-{width}-{kind}-{segments}"
                cells = flow.synthesise(Activation(table), board, folder)
                error = table_error(table)
                cases.append(
                    {
                        "function": name,
                        "width": width,
                        "kind": kind,
                        "segments": segments,
                        "worst": error.worst,
                        "mean_squared": error.rms**2,
                        "cells": {k: count for k, count in asdict(cells).items() if count},
                    }
                )
    result = {"board": BOARD, "cases": cases, "readers": measure_readers(progress)}
    picture(result, RESULTS / "activations.svg")
    return result


def measure_readers(progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Two readers of one sigmoid: block RAMs with a memory each, and with one for both.

    On an iCE40 there is nothing to measure: its block RAMs have one port to read.
    """
    function = function_of("sigmoid")
    source = function.source(Format(16, 12))
    found = []
    for segments in READERS:
        table = fit(function, source, Format(16, 15), segments=segments)
        for shared in (False, True):
            progress(f"two readers of {segments} segments, shared: {shared}")
            folder = FOLDER / f"readers-{segments}-{'one' if shared else 'two'}"
            reader = Reader(table, shared=shared)
            cells = flow.synthesise(reader, catalogue.get(BOARD), folder)
            counts = {"block_rams": cells.block_rams, "luts": cells.luts}
            found.append({"segments": segments, "shared": shared, **counts})
    return found


def picture(result: dict[str, Any], path: Path) -> Path:
    """Error and area against segments, of 16 bits."""
    series: dict[str, list[Series]] = {"worst": [], "luts": []}
    for name in FUNCTIONS:
        for kind in ("uniform", "adaptive"):
            cases = [
                case
                for case in result["cases"]
                if (case["function"], case["kind"], case["width"]) == (name, kind, 16)
            ]
            places = [case["segments"] for case in cases]
            label = f"{name}, {kind}"
            worst = [case["worst"] for case in cases]
            luts = [case["cells"].get("luts", 0) for case in cases]
            series["worst"].append(Series(label, places, worst))
            series["luts"].append(Series(label, places, luts))
    return draw(
        path,
        Lines("Error, 16 bits", "segments", "worst, last places", series["worst"], True, True),
        Lines("Area, 16 bits", "segments", "LUT4", series["luts"], True),
    )


def figures(result: dict[str, Any]) -> list[Figure]:
    grid = {(c["function"], c["width"], c["segments"], c["kind"]): c for c in result["cases"]}
    rows = []
    for function, width, segments in dict.fromkeys(key[:3] for key in grid):
        texts = [
            case_text(grid[function, width, segments, kind])
            for kind in ("uniform", "adaptive")
            if (function, width, segments, kind) in grid
        ]
        what = f"table of {function}, {width} bits, {segments} segments"
        rows.append(Figure(what, "", "; ".join(texts)))
    readers = {(r["segments"], r["shared"]): r for r in result["readers"]}
    for segments in dict.fromkeys(key[0] for key in readers):
        own, one = (readers[segments, shared]["block_rams"] for shared in (False, True))
        rows.append(
            Figure(
                f"block RAMs of two readers of a sigmoid, 16 bits, {segments} segments",
                "",
                f"{own} with a memory each, {one} with one for both",
            )
        )
    return rows


def case_text(case: dict[str, Any]) -> str:
    cells = case["cells"]
    taken = [f"{cells.get('luts', 0)} LUT4"]
    taken += [
        f"{cells[kind]} {name}"
        for kind, name in (("block_rams", "DP16KD"), ("multipliers", "MULT18X18D"))
        if kind in cells
    ]
    return (
        f"{case['kind']} off by {case['worst']:.3g} at most, {case['mean_squared']:.3g} squared "
        f"in the mean ({', '.join(taken)})"
    )
