"""Amaranth's own simulator: no tool needed, slow, and the plainest statement of the timing."""

from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Module  # type: ignore[import-untyped]
from amaranth.sim import Simulator as Engine  # type: ignore[import-untyped]

from ..compiler.errors import MismatchError
from . import vectors
from .stimulus import RESET_CYCLES, Capture, Ports, Stimulus, judge
from .transactions import Transactions

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
        waiting = Waiting(stimulus.transactions, device)
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
        while (
            idle < stimulus.idle
            or len(accepted) < inputs
            or len(beats) < outputs
            or not waiting.over
        ):
            pending = waiting.drive(ctx, len(accepted), len(beats))
            offer = len(accepted) < inputs and not gap and not pending
            take = not stall
            ctx.set(device.s_axis_tvalid, offer)
            if offer:
                ctx.set(device.s_axis_tdata, data[len(accepted)])
                ctx.set(device.s_axis_tlast, last[len(accepted)])
            ctx.set(device.m_axis_tready, take)
            _, _, ready, valid, *sampled = await ctx.tick().sample(
                device.s_axis_tready,
                device.m_axis_tvalid,
                device.m_axis_tdata,
                device.m_axis_tlast,
                device.m_axis_tuser,
                *waiting.ports,
            )
            beat = sampled[:3]
            if held is not None and not (valid and beat == held):
                status = vectors.WITHDRAWN
                break
            held = beat if valid and not take else None
            if valid and len(beats) == outputs:
                status = vectors.EXTRA
                break
            if pending and waiting.step(cycle, sampled[3:]):
                quiet = 0
            done = len(accepted) == inputs and len(beats) == outputs and waiting.over
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
            read=np.array(waiting.read, np.int64),
            answered=np.array(waiting.answered, np.int64),
        )


class Waiting:
    """Transactions that have not been answered, and the port on which they are made."""

    def __init__(self, transactions: Transactions | None, device: Any) -> None:
        self._transactions = transactions
        self._device = device
        self._under_way = self._accepted = False
        self.read: list[int] = []
        self.answered: list[int] = []
        self.ports: list[Any] = []
        if transactions is not None:
            names = ("awready", "arready", "bvalid", "bresp", "rvalid", "rresp", "rdata")
            self.ports = [getattr(device, f"s_axil_{name}") for name in names]

    @property
    def over(self) -> bool:
        return self._transactions is None or len(self.answered) == len(self._transactions)

    def drive(self, ctx: Any, accepted: int, delivered: int) -> bool:
        """Set the port for this cycle; whether the input has to wait."""
        transactions, device, at = self._transactions, self._device, len(self.answered)
        if transactions is None:
            return False
        pending = at < len(transactions) and bool(transactions.before[at] == accepted)
        if pending and not self._under_way:
            self._under_way = bool(transactions.after[at] <= delivered)
        offer = self._under_way and not self._accepted
        write = offer and bool(transactions.write[at])
        for name in ("awvalid", "wvalid"):
            ctx.set(getattr(device, f"s_axil_{name}"), write)
        ctx.set(device.s_axil_arvalid, offer and not write)
        ctx.set(device.s_axil_bready, 1)
        ctx.set(device.s_axil_rready, 1)
        if offer:
            ctx.set(device.s_axil_awaddr, int(transactions.address[at]))
            ctx.set(device.s_axil_araddr, int(transactions.address[at]))
            ctx.set(device.s_axil_wdata, int(transactions.data[at]) & 0xFFFFFFFF)
            ctx.set(device.s_axil_wstrb, 0xF)
        return pending

    def step(self, cycle: int, sampled: list[int]) -> bool:
        """Take what the port said in a cycle; whether a transaction was answered."""
        aw_ready, ar_ready, b_valid, b_error, r_valid, r_error, word = sampled
        self._accepted |= self._under_way and bool(aw_ready or ar_ready)
        if not (b_valid or r_valid):
            return False
        if b_error if b_valid else r_error:
            raise MismatchError(vectors.sentence(vectors.REFUSED, cycle, 0, 0, 0, 0))
        self.read.append((word ^ 0x80000000) - 0x80000000 if r_valid else 0)
        self.answered.append(cycle)
        self._under_way = self._accepted = False
        return True


def build(component: Any, ports: Ports) -> PySim:
    """Make a simulator of an Amaranth component that has not been elaborated yet."""
    return PySim(component, ports)
