"""Processor time of things that take turns, in a process that has one thread."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["best_seconds", "run_alone"]


def run_alone(module: str) -> Any:
    """What ``python -m module`` prints as JSON, where libraries see that they have one thread."""
    alone = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | alone,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def best_seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Processor time of each; the best of some rounds in which they take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            before = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - before)
    return best
