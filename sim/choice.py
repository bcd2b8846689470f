"""Which simulator to run a design in."""

from collections.abc import Callable

from . import tools

__all__ = ["fastest"]

# Measured on an engine of 2,400 look-up tables (bench/simulators.py); other designs scale alike.
REFERENCE_TEXT = 1_000_000  # characters of RTLIL
BUILD_SECONDS = {"pysim": 0.9, "cxxrtl": 12.0, "verilator": 20.0}
CYCLES_PER_SECOND = {"pysim": 600.0, "cxxrtl": 650_000.0, "verilator": 2_200_000.0}


def fastest(rtlil: str, cycles: int, is_built: Callable[[str], bool]) -> str:
    """The simulator that is likely done first with so many cycles, its build included.

    ``is_built`` tells by name whether a simulator of the design needs no build any more.
    """
    size = len(rtlil) / REFERENCE_TEXT
    names = [name for name in tools.available() if name in BUILD_SECONDS]

    def seconds(name: str) -> float:
        build = 0.0 if is_built(name) else BUILD_SECONDS[name]
        return size * (build + cycles / CYCLES_PER_SECOND[name])

    return min(names, key=seconds)
