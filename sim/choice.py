"""Which simulator to run a design in."""

from . import tools

__all__ = ["fastest"]

# Measured on an engine of 2,400 look-up tables (bench/simulators.py); other designs scale alike.
REFERENCE_TEXT = 1_000_000  # characters of RTLIL
BUILD_SECONDS = {"pysim": 0.9, "cxxrtl": 12.0, "verilator": 20.0}
CYCLES_PER_SECOND = {"pysim": 600.0, "cxxrtl": 650_000.0, "verilator": 2_200_000.0}


def fastest(rtlil: str, cycles: int) -> str:
    """The simulator that is likely done first with so many cycles, its build included."""
    size = len(rtlil) / REFERENCE_TEXT
    names = [name for name in tools.available() if name in BUILD_SECONDS]

    def seconds(name: str) -> float:
        return size * BUILD_SECONDS[name] + cycles * size / CYCLES_PER_SECOND[name]

    return min(names, key=seconds)
