"""The design in this folder against its model: every bit, marker and cycle.

Written beside every design as ``test_design.py``; ``run.py`` runs it. The Verilog harness feeds
the design and captures what it does; the test starts the harness and compares.
"""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer
from vectors import (  # type: ignore[import-not-found]
    random_stalls,
    read_capture,
    write_stimulus,
)

PERIOD_NS = 2
POLL_CLOCKS = 1000
"""Clock cycles between two looks at the harness: each one costs as much as many cycles."""

with np.load(Path(__file__).parent / "vectors.npz", allow_pickle=False) as file:
    GIVEN = dict(file)
N, M = len(GIVEN["data"]), int(GIVEN["outputs"])
TRANSACTIONS = GIVEN.get("transactions")
K = 0 if TRANSACTIONS is None else TRANSACTIONS.shape[1]


def run_clock(dut):
    """Run the clock to the end of the test."""
    Clock(dut.clk, PERIOD_NS, unit="ns").start()


async def start(dut, gaps, stalls):
    """Begin a run from reset; a run in progress is broken off."""
    write_stimulus(
        Path.cwd(),
        GIVEN["data"],
        GIVEN["last"],
        gaps,
        stalls,
        M,
        int(GIVEN["idle"]),
        int(GIVEN["limit"]),
        int(GIVEN["input_bits"]),
        TRANSACTIONS,
    )
    await FallingEdge(dut.clk)
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0


async def finish(dut):
    """Wait for the end of a run and return what was captured."""
    while dut.done.value != 1:
        await Timer(PERIOD_NS * POLL_CLOCKS, unit="ns")
    captured = read_capture(Path.cwd(), N, M, int(GIVEN["output_bits"]), K)
    assert not isinstance(captured, str), captured
    return captured


def check(captured, names):
    """Compare by name with what the model says."""
    for name in names:
        got, want = captured[name], GIVEN[f"expected_{name}"]
        wrong = np.flatnonzero(got != want)
        assert not wrong.size, (
            f"Output {name} differs in {wrong.size} of {len(want)} beats, "
            f"first in beat {wrong[0]}: {got[wrong[0]]} instead of {want[wrong[0]]}"
        )


BITS = tuple(name for name in ("data", "last", "user", "read") if f"expected_{name}" in GIVEN)
CYCLES = tuple(name for name in ("delivered", "answered") if f"expected_{name}" in GIVEN)


@cocotb.test
async def as_given(dut):
    """The stimulus with its own timing; also the cycles, where the model states them."""
    run_clock(dut)
    await start(dut, GIVEN.get("gaps"), GIVEN.get("stalls"))
    check(await finish(dut), BITS + CYCLES)


@cocotb.test
@cocotb.parametrize(seed=[1, 2])
async def with_random_stalls(dut, seed):
    """Random gaps in the input and random stalls of the output change no bit."""
    run_clock(dut)
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.1, 0.7, 2)
    gaps = random_stalls(rng, N, probability[0])
    stalls = random_stalls(rng, M, probability[1])
    await start(dut, gaps, stalls)
    check(await finish(dut), BITS)


@cocotb.test
async def after_reset_in_mid_run(dut):
    """A run that is broken off by reset leaves nothing behind."""
    run_clock(dut)
    await start(dut, GIVEN.get("gaps"), GIVEN.get("stalls"))
    await Timer(PERIOD_NS * int(GIVEN["break_off"]), unit="ns")
    assert dut.done.value == 0, "The run must not be over yet"
    await start(dut, GIVEN.get("gaps"), GIVEN.get("stalls"))
    check(await finish(dut), BITS + CYCLES)
