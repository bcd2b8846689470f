"""Components alone, cycle by cycle or behind streams with gaps and stalls."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.integer import Operand


def simulate(dut, *benches):
    """Run test benches on a component, which gets a clock even where it does not use one."""
    m = Module()
    m.domains.sync = ClockDomain("sync")
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    simulator.run()


def run_cycles(dut, inputs, outputs, cycles=None):
    """What members ``outputs`` of a component are in each cycle, int64 arrays by name.

    ``inputs`` has a sequence of values, one a cycle, for each member; the last value stays.
    """
    cycles = cycles or max(len(values) for values in inputs.values())
    seen = {name: [] for name in outputs}

    async def bench(ctx):
        for cycle in range(cycles):
            for name, values in inputs.items():
                if cycle < len(values):
                    ctx.set(getattr(dut, name), int(values[cycle]))
            for name in outputs:
                seen[name].append(ctx.get(getattr(dut, name)))
            await ctx.tick()

    simulate(dut, bench)
    return seen


def run_stream(dut, beats, *, seed=0, stall=0.0, idle=150, cap=20_000):
    """Beats that leave a component with streams ``i`` and ``o`` when ``beats`` are fed.

    Beats are dicts of integers. Nothing may have come for ``idle`` cycles at the end.
    """
    rng = np.random.default_rng(seed)
    fields = list(dut.o.payload.shape().members)
    seen = []
    fed = False

    async def feed(ctx):
        nonlocal fed
        for beat in beats:
            while rng.random() < stall:
                await ctx.tick()
            for name, value in beat.items():
                ctx.set(getattr(dut.i.payload, name), value)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        fed = True

    async def drain(ctx):
        quiet = cycle = 0
        while quiet < idle or not fed:
            ctx.set(dut.o.ready, rng.random() >= stall)
            _, _, ready, valid, payload = await ctx.tick().sample(
                dut.o.ready, dut.o.valid, dut.o.payload
            )
            quiet += 1
            cycle += 1
            assert cycle < cap, "the component hangs"
            if ready and valid:
                seen.append({name: int(payload[name]) for name in fields})
                quiet = 0

    simulate(dut, feed, drain)
    return seen


@pytest.fixture(scope="session")
def cycles():
    return run_cycles


@pytest.fixture(scope="session")
def stream():
    return run_stream


@pytest.fixture(scope="session")
def bench():
    return simulate


@pytest.fixture(scope="session")
def operand():
    def operand(size, width=6, theta=0):
        return Operand("x", 0, 0, size, Format(width, 0), theta)

    return operand
