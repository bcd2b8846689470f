"""Amaranth's own simulator: no tool needed, slow, and the plainest statement of the timing."""

from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Module  # type: ignore[import-untyped]
from amaranth.sim import Simulator as Engine  # type: ignore[import-untyped]

from . import vectors
from .stimulus import RESET_CYCLES, Capture, Ports, Stimulus, judge

__all__ = ["PySim", "build"]

CLOCK_PERIOD = 2e-9
"""As in the wave dumps of the other simulators."""


class PySim:
    """A design in Amaranth's simulator.

    Parameters
    ----------
    component : wiring.Component
        With the ports of a design, not elaborated yet; it is elaborated here, once.
    ports : Ports
        Widths of its data ports.
    """

    name = "pysim"

    def __init__(self, component: Any, ports: Ports) -> None:
        self._ports = ports
        self._component = component
        self._domain = ClockDomain("sync")
        self._started = False
        self._stimulus: Stimulus
        self._capture: Capture
        module = Module()
        module.domains += self._domain
        module.submodules.top = component
        self._engine = Engine(module)
        self._engine.add_clock(CLOCK_PERIOD)

    def run(self, stimulus: Stimulus, *, vcd: Path | None = None) -> Capture:
        """Run from reset; see :class:`.stimulus.Simulator`."""
        stimulus.check(self._ports)
        self._stimulus = stimulus
        if self._started:
            self._engine.reset()
        else:
            # Not before: a coroutine that is made and never run is a warning.
            self._engine.add_testbench(self._bench)
        self._started = True
        if vcd is None:
            self._engine.run()
        else:
            with self._engine.write_vcd(str(vcd)):
                self._engine.run()
        return self._capture

    async def _bench(self, ctx: Any) -> None:
        stimulus, device = self._stimulus, self._component
        data, last = stimulus.data.tolist(), stimulus.last.tolist()
        inputs, outputs = len(data), stimulus.outputs
        gaps = [0] * inputs if stimulus.gaps is None else stimulus.gaps.tolist()
        stalls = [0] * outputs if stimulus.stalls is None else stimulus.stalls.tolist()

        ctx.set(self._domain.rst, 1)
        for _ in range(RESET_CYCLES):
            await ctx.tick()
        ctx.set(self._domain.rst, 0)

        beats: list[tuple[int, int, int]] = []
        accepted: list[int] = []
        delivered: list[int] = []
        gap, stall = (gaps or [0])[0], (stalls or [0])[0]
        held = None
        quiet = cycle = idle = 0
        status = vectors.OK
        while idle < stimulus.idle or len(accepted) < inputs or len(beats) < outputs:
            offer = len(accepted) < inputs and not gap
            take = not stall
            ctx.set(device.s_axis_tvalid, offer)
            if offer:
                ctx.set(device.s_axis_tdata, data[len(accepted)])
                ctx.set(device.s_axis_tlast, last[len(accepted)])
            ctx.set(device.m_axis_tready, take)
            _, _, ready, valid, *beat = await ctx.tick().sample(
                device.s_axis_tready,
                device.m_axis_tvalid,
                device.m_axis_tdata,
                device.m_axis_tlast,
                device.m_axis_tuser,
            )
            if held is not None and not (valid and beat == held):
                status = vectors.WITHDRAWN
                break
            held = beat if valid and not take else None
            if valid and len(beats) == outputs:
                status = vectors.EXTRA
                break
            done = len(accepted) == inputs and len(beats) == outputs
            idle = idle + 1 if done else 0
            quiet = quiet if gap or stall else quiet + 1
            gap, stall = max(gap - 1, 0), max(stall - 1, 0)
            if offer and ready:
                accepted.append(cycle)
                gap = gaps[len(accepted)] if len(accepted) < inputs else 0
                quiet = 0
            if take and valid:
                beats.append(tuple(beat))
                delivered.append(cycle)
                stall = stalls[len(beats)] if len(beats) < outputs else 0
                quiet = 0
            if quiet == stimulus.limit and not done:
                status = vectors.HUNG
                break
            cycle += 1

        judge(stimulus, status, cycle, len(accepted), len(beats))
        table = np.array(beats, np.int64).reshape(-1, 3)
        self._capture = Capture(
            data=table[:, 0],
            last=table[:, 1].astype(bool),
            user=table[:, 2].astype(bool),
            accepted=np.array(accepted, np.int64),
            delivered=np.array(delivered, np.int64),
            cycles=cycle,
        )


def build(component: Any, ports: Ports) -> PySim:
    """Make a simulator of an Amaranth component that has not been elaborated yet."""
    return PySim(component, ports)
