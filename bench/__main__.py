"""``python -m deltaloom.bench [NAME ...]`` measures, ``--table [--goals]`` shows what was found."""

import argparse
import sys
from importlib import import_module

from .figures import load, save, table

__all__ = ["NAMES", "main"]

NAMES = (
    *("utilization", "frequency", "generate_time", "golden_speed", "simulators"),
    *("small", "cells", "size", "digits", "digits_ptq", "digits_trained", "digits_deltas"),
    *("training_speed", "delta_search", "graphs", "encodings", "activations"),
    *("onnx_import", "g2p"),
)


def show(*, goals: bool = False) -> str:
    """The table of everything that was measured, or of what something is to be reached with."""
    rows = []
    for name in NAMES:
        if (result := load(name)) is not None:
            rows += import_module(f".{name}", __package__).figures(result)
    return table(row for row in rows if row.reach or not goals)


def main(arguments: list[str] | None = None) -> int:
    """Measure the named benchmarks, all if none is named; the table of results goes to stdout."""
    parser = argparse.ArgumentParser(prog="python -m deltaloom.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--table", action="store_true", help="measure nothing, show the results")
    parser.add_argument("--goals", action="store_true", help="with --table: what has a reach")
    options = parser.parse_args(arguments)
    if options.goals and not options.table:
        parser.error("--goals goes with --table")
    for name in options.names:
        if name not in NAMES:
            parser.error(f"Benchmark must be one of {', '.join(NAMES)}, not {name!r}")
    if options.table:
        print(show(goals=options.goals))
        return 0
    for name in options.names or NAMES:

        def progress(text: str, name: str = name) -> None:
            print(f"{name}: {text}", file=sys.stderr, flush=True)

        module = import_module(f".{name}", __package__)
        result = module.measure(progress)
        save(name, result)
        print(table(module.figures(result)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
