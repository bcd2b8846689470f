# amaranth: UnusedElaboratable=no

"""Frames and resets at the inbox, byte by byte, while what they carry is taken or not."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from deltaloom.boards.inbox import Inbox
from deltaloom.boards.protocol import Error, Kind, encode

READ = bytes([4, 0, 0, 0, 2])
WRITE = bytes([8, 0, 0, 0, 0x7E, 0x7D, 0, 255])


def run(frames, *, beat=1, registers=True, stall=0.0, pause=200, held=0, seed=0):
    """What leaves an inbox: beats (value, last), requests (write, payload), errors, accepted.

    A pause follows each frame; no request is taken in the first ``held`` cycles.
    """
    rng = np.random.default_rng(seed)
    dut = Inbox(beat, registers)
    beats, requests, errors, accepted = [], [], [], []

    async def send(ctx):
        for frame in frames:
            for byte in frame:
                ctx.set(dut.data, byte)
                ctx.set(dut.strobe, 1)
                await ctx.tick()
                ctx.set(dut.strobe, 0)
                await ctx.tick()
            await ctx.tick().repeat(pause)
        await ctx.tick().repeat(2000 if stall else 300)

    async def watch(ctx):
        cycle, payload = 0, b""
        while True:
            ready = rng.random() >= stall
            ctx.set(dut.s_axis_tready, ready)
            taken = registers and ready and cycle >= held
            if registers:
                ctx.set(dut.request.ready, taken)
            valid, last = ctx.get(dut.s_axis_tvalid), ctx.get(dut.s_axis_tlast)
            if valid and ready:
                beats.append((ctx.get(dut.s_axis_tdata), last))
            if taken and ctx.get(dut.request.valid):
                payload += bytes([ctx.get(dut.request.payload.data)])
                if ctx.get(dut.request.payload.last):
                    requests.append((ctx.get(dut.request.payload.write), payload))
                    payload = b""
            if ctx.get(dut.refused):
                errors.append(ctx.get(dut.error))
            if ctx.get(dut.accepted):
                accepted.append(ctx.get(dut.expected))
            if ctx.get(dut.reset):
                payload = b""
            await ctx.tick()
            cycle += 1

    m = Module()
    m.domains.sync = ClockDomain("sync")
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    return beats, requests, errors, accepted


@pytest.mark.parametrize("stall", [0.0, 0.7])
def test_contents_keep_their_order(stall):
    """Beats and requests, back to back; a repeated number is accepted and does nothing."""
    frames = [
        encode(Kind.DATA, 0, bytes([1, 2, 254])),
        encode(Kind.READ, 1, READ),
        encode(Kind.READ, 1, READ),
        encode(Kind.WRITE, 2, WRITE),
        encode(Kind.DATA_LAST, 3, bytes([5])),
    ]
    beats, requests, errors, accepted = run(frames, stall=stall, seed=2)
    assert beats == [(1, 0), (2, 0), (-2, 0), (5, 1)]
    assert requests == [(0, READ), (1, WRITE)]
    assert errors == []
    assert accepted == [1, 2, 2, 3, 4]


def test_what_is_refused():
    bad = bytearray(encode(Kind.READ, 0, READ))
    bad[3] ^= 4
    frames = {
        bytes(bad): Error.CHECKSUM,
        encode(Kind.READ, 0, READ)[:-3] + b"\x7e": Error.CHECKSUM,
        encode(Kind.READ, 0, READ[:-1]): Error.LENGTH,
        encode(Kind.READ, 0, READ + b"1"): Error.LENGTH,
        encode(Kind.READ, 0): Error.LENGTH,
        encode(Kind.WRITE, 0, WRITE[:4]): Error.LENGTH,
        encode(Kind.WRITE, 0, WRITE + b"1"): Error.LENGTH,
        encode(Kind.READ, 7, READ): Error.SEQUENCE,
        encode(5, 0, READ): Error.KIND,
        encode(Kind.WRITE, 0, bytes(300)): Error.OVERFLOW,
        encode(Kind.DATA, 0, bytes(256)): Error.OVERFLOW,
    }
    last = encode(Kind.READ, 0, READ)
    beats, requests, errors, accepted = run([*frames, last])
    assert errors == list(frames.values())
    assert (beats, requests, accepted) == ([], [(0, READ)], [1])


def test_without_registers():
    frames = [encode(kind, 0, READ) for kind in (Kind.READ, Kind.WRITE, Kind.DATA)]
    beats, _, errors, accepted = run(frames, registers=False)
    assert errors == [Error.KIND] * 2
    assert [value for value, _ in beats] == list(READ)
    assert accepted == [1]


@pytest.mark.parametrize("beat", [1, 3])
@pytest.mark.parametrize("held", range(36, 80, 4))
def test_a_reset_while_a_request_waits(beat, held):
    """Nothing of it is left, wherever it stood."""
    data = bytes(range(10, 10 + 4 * beat))
    frames = [
        encode(Kind.WRITE, 0, WRITE),
        encode(Kind.RESET, 0),
        encode(Kind.DATA_LAST, 0, data),
        encode(Kind.READ, 1, READ),
    ]
    beats, requests, errors, _ = run(frames, beat=beat, pause=20, held=held)
    values = [int.from_bytes(data[k : k + beat], "little") for k in range(0, len(data), beat)]
    assert beats == [(value, value == values[-1]) for value in values]
    assert requests[-1:] == [(0, READ)]
    assert requests[:-1] in ([], [(1, WRITE)])
    assert errors == []


@pytest.mark.parametrize("pause", range(1, 8))
def test_a_reset_while_beats_leave(pause):
    """In every step of reading one; two bytes are a beat."""
    data = bytes(range(20, 24))
    frames = [
        encode(Kind.DATA, 0, bytes(60)),
        encode(Kind.RESET, 0),
        encode(Kind.DATA_LAST, 0, data),
    ]
    beats, _, errors, accepted = run(frames, beat=2, pause=pause)
    assert beats[-2:] == [(21 << 8 | 20, 0), (23 << 8 | 22, 1)]
    assert 0 < len(beats[:-2]) < 30
    assert set(beats[:-2]) == {(0, 0)}
    assert errors == []
    assert accepted[-1] == 1
