"""Time that passes, and time that is computed."""

import os
import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds since it was made: passed, and computed by this process and its children."""

    def __init__(self) -> None:
        self._passed, self._computed = time.perf_counter(), self._processor()

    @staticmethod
    def _processor() -> float:
        return sum(os.times()[:4])

    @property
    def seconds(self) -> dict[str, float]:
        return {
            "passed": time.perf_counter() - self._passed,
            "computed": self._processor() - self._computed,
        }
