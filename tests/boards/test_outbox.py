# amaranth: UnusedElaboratable=no

"""Frames that leave the outbox: their order, and that a reset ends whatever is being sent."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from deltaloom.boards.outbox import Outbox
from deltaloom.boards.protocol import VERSION, Kind, decode

ANSWER = bytes([0x7E, 2, 0x7D, 4, 0])
INFO = bytes([VERSION, 1, 2, 120, 6])


def run(events, *, results=(), stall=0.0, cycles=1500, seed=0):
    """Frames of an outbox (kind, number, payload).

    ``events`` are names of what is set for a cycle, by cycle; ``answer`` offers :data:`ANSWER`
    from then on, until it is taken or a reset comes. ``results`` are offered from the start:
    (value, user, last).
    """
    rng = np.random.default_rng(seed)
    dut = Outbox(1, 2, 6)
    line = bytearray()

    async def drive(ctx):
        left, waiting = b"", list(results)
        for cycle in range(cycles):
            now = events.get(cycle, ())
            for name in ("reset", "accepted", "refused"):
                ctx.set(getattr(dut, name), name in now)
            if "answer" in now:
                left = ANSWER
            ctx.set(dut.error, 3)
            ctx.set(dut.expected, 9)
            ctx.set(dut.answer.valid, bool(left))
            if left:
                ctx.set(dut.answer.payload.data, left[0])
                ctx.set(dut.answer.payload.last, len(left) == 1)
            ctx.set(dut.m_axis_tvalid, bool(waiting))
            if waiting:
                value, user, last = waiting[0]
                ctx.set(dut.m_axis_tdata, value)
                ctx.set(dut.m_axis_tuser, user)
                ctx.set(dut.m_axis_tlast, last)
            ctx.set(dut.o.ready, rng.random() >= stall)
            if left and ctx.get(dut.answer.ready):
                left = left[1:]
            if waiting and ctx.get(dut.m_axis_tready):
                waiting.pop(0)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                line.append(ctx.get(dut.o.payload))
            if "reset" in now:
                left, waiting = b"", []
            await ctx.tick()

    m = Module()
    m.domains.sync = ClockDomain("sync")
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return [decode(content) for content in bytes(line).split(b"\x7e") if content]


@pytest.mark.parametrize("stall", [0.0, 0.8])
def test_results_and_answers_are_numbered_together(stall):
    results = [(1, 0, 0), (-2, 1, 0), (0x7D7E, 0, 0), (3, 1, 1)]
    events = {0: ("accepted",), 400: ("answer",), 800: ("refused",), 801: ("answer",)}
    assert run(events, results=results, stall=stall) == [
        (Kind.RESULT, 0, b"\x01\x00\xfe\xff\x01"),
        (Kind.ACCEPT, 8, b""),
        (Kind.RESULT, 1, b"\x7e\x7d\x03\x00\x03"),
        (Kind.ANSWER, 2, ANSWER),
        (Kind.REFUSE, 9, b"\x03"),
        (Kind.ANSWER, 3, ANSWER),
    ]


def test_an_answer_does_not_wait_for_the_rest_of_a_timestep():
    """A frame of results without a marker is closed for it."""
    found = run({40: ("answer",)}, results=[(5, 0, 0)])
    assert found == [(Kind.RESULT, 0, b"\x05\x00\x00"), (Kind.ANSWER, 1, ANSWER)]


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("cycle", range(1, 40, 3))
def test_a_reset_ends_what_is_being_sent(cycle, stall):
    """The answer to the reset follows, and numbers start anew."""
    events = {0: ("answer", "accepted"), cycle: ("reset",), 300: ("answer",)}
    *before, info, after = run(events, stall=stall, seed=cycle, cycles=700)
    assert info == (Kind.INFO, 0, INFO)
    assert after == (Kind.ANSWER, 0, ANSWER)
    assert None not in before
    assert {kind for kind, *_ in before} <= {Kind.ACCEPT, Kind.ANSWER}
