"""``python -m deltaloom.bench [NAME ...]`` measures; ``--table`` shows what was measured."""

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


def show() -> str:
    """The table of everything that was measured."""
    rows = []
    for name in NAMES:
        if (result := load(name)) is not None:
            rows += import_module(f".{name}", __package__).figures(result)
    return table(rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure the named benchmarks, all if none is named; the table of results goes to stdout."""
    parser = argparse.ArgumentParser(prog="python -m deltaloom.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--table", action="store_true", help="measure nothing, show the results")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"Benchmark must be one of {', '.join(NAMES)}, not {name!r}")
    if options.table:
        print(show())
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
