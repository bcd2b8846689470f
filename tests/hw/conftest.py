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

    ``inputs`` has a sequence of values, one a cycle, for each member, integers or dicts of fields;
    the last value stays.
    """
    cycles = cycles or max(len(values) for values in inputs.values())
    seen = {name: [] for name in outputs}

    async def bench(ctx):
        for cycle in range(cycles):
            for name, values in inputs.items():
                if cycle < len(values):
                    value = values[cycle]
                    ctx.set(getattr(dut, name), value if isinstance(value, dict) else int(value))
            for name in outputs:
                seen[name].append(ctx.get(getattr(dut, name)))
            await ctx.tick()

    simulate(dut, bench)
    return seen


def run_streams(dut, feeds, drains, *, seed=0, stall=0.0, idle=150, cap=20_000):
    """Beats that leave each of a component's streams ``drains`` when others are fed.

    ``feeds`` has pairs of a stream and its beats, dicts of integers. Nothing may have come for
    ``idle`` cycles at the end.
    """
    seen = [[] for _ in drains]
    fed = [False for _ in feeds]
    random = [np.random.default_rng((seed, place)) for place in range(len(feeds) + len(drains))]

    def feeder(place, source, beats):
        async def feed(ctx):
            for beat in beats:
                while random[place].random() < stall:
                    await ctx.tick()
                for name, value in beat.items():
                    ctx.set(getattr(source.payload, name), value)
                ctx.set(source.valid, 1)
                await ctx.tick().until(source.ready)
                ctx.set(source.valid, 0)
            fed[place] = True

        return feed

    def drainer(place, sink):
        fields = list(sink.payload.shape().members)

        async def drain(ctx):
            quiet = cycle = 0
            while quiet < idle or not all(fed):
                ctx.set(sink.ready, random[len(feeds) + place].random() >= stall)
                _, _, ready, valid, payload = await ctx.tick().sample(
                    sink.ready, sink.valid, sink.payload
                )
                quiet += 1
                cycle += 1
                assert cycle < cap, "the component hangs"
                if ready and valid:
                    seen[place].append({name: int(payload[name]) for name in fields})
                    quiet = 0

        return drain

    simulate(
        dut,
        *(feeder(place, *feed) for place, feed in enumerate(feeds)),
        *(drainer(place, sink) for place, sink in enumerate(drains)),
    )
    return seen


def run_stream(dut, beats, **options):
    """Beats that leave a component with streams ``i`` and ``o``; see :func:`run_streams`."""
    (seen,) = run_streams(dut, [(dut.i, beats)], [dut.o], **options)
    return seen


@pytest.fixture(scope="session")
def cycles():
    return run_cycles


@pytest.fixture(scope="session")
def stream():
    return run_stream


@pytest.fixture(scope="session")
def streams():
    return run_streams


@pytest.fixture(scope="session")
def vectors():
    """Beats of random sequences of some lengths; ``last`` on the last timestep's last element."""

    def vectors(lengths, size, *, width=6, seed=0):
        rng = np.random.default_rng(seed)
        half = 1 << (width - 1)
        return [
            {
                "value": int(rng.integers(-half, half)),
                "last": int(step == length - 1 and index == size - 1),
                "end": int(index == size - 1),
            }
            for length in lengths
            for step in range(length)
            for index in range(size)
        ]

    return vectors


@pytest.fixture(scope="session")
def bench():
    return simulate


@pytest.fixture(scope="session")
def operand():
    def operand(size, width=6, theta=0, kept=None):
        return Operand("x", 0, 0, size, Format(width, 0), theta, kept=kept)

    return operand
