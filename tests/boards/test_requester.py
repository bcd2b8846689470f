# amaranth: UnusedElaboratable=no

"""Requests on the port of a register block, with stalls on both streams and on the port."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from deltaloom.boards.protocol import Answer
from deltaloom.boards.requester import Requester

WORDS = 24  # there are words at these addresses, but one is refused and the last ones are nowhere
REFUSED, NOWHERE = 5, 20
ADDRESS_BITS = 7


class Port:
    """An AXI4-Lite slave in Python, which takes address and word in any order."""

    def __init__(self, rng, stall):
        self.words = list(range(100, 100 + WORDS))
        self.rng, self.stall = rng, stall

    def code(self, address):
        place = address // 4
        if place >= NOWHERE:
            return Answer.NOWHERE
        return Answer.REFUSED if place == REFUSED else Answer.OKAY

    async def run(self, ctx, dut):
        address = word = answer = None
        while True:
            ready = {name: self.rng.random() >= self.stall for name in ("aw", "w", "ar")}
            ready["aw"] &= address is None and answer is None
            ready["w"] &= word is None and answer is None
            ready["ar"] &= answer is None
            for name, value in ready.items():
                ctx.set(getattr(dut, f"s_axil_{name}ready"), value)
            offer = answer is not None and self.rng.random() >= self.stall
            write = offer and answer[0]
            ctx.set(dut.s_axil_bvalid, write)
            ctx.set(dut.s_axil_rvalid, offer and not write)
            if offer:
                ctx.set(dut.s_axil_bresp, answer[1])
                ctx.set(dut.s_axil_rresp, answer[1])
                ctx.set(dut.s_axil_rdata, answer[2])
            _, _, aw, w, ar, b, r, at_write, data, strobe, at_read = await ctx.tick().sample(
                dut.s_axil_awvalid,
                dut.s_axil_wvalid,
                dut.s_axil_arvalid,
                dut.s_axil_bready,
                dut.s_axil_rready,
                dut.s_axil_awaddr,
                dut.s_axil_wdata,
                dut.s_axil_wstrb,
                dut.s_axil_araddr,
            )
            if offer and (b if write else r):
                answer = None
            if ready["aw"] and aw:
                address = at_write
            if ready["w"] and w:
                assert strobe == 0xF
                word = data
            if ready["ar"] and ar:
                code = self.code(at_read)
                answer = (False, code, self.words[at_read // 4] if code == Answer.OKAY else 77)
            if address is not None and word is not None:
                code = self.code(address)
                if code == Answer.OKAY:
                    self.words[address // 4] = word
                answer = (True, code, 0)
                address = word = None


def answers(requests, stall=0.0, seed=0):
    """Payloads of the answers to requests (write, payload); the words that are then there."""
    rng = np.random.default_rng(seed)
    dut, port = Requester(ADDRESS_BITS), Port(rng, stall)
    found = []

    async def ask(ctx):
        for write, payload in requests:
            for place, byte in enumerate(payload):
                while rng.random() < stall:
                    await ctx.tick()
                ctx.set(dut.i.valid, 1)
                ctx.set(dut.i.payload.data, byte)
                ctx.set(dut.i.payload.last, place == len(payload) - 1)
                ctx.set(dut.i.payload.write, write)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def listen(ctx):
        for _ in requests:
            content, last = b"", 0
            while not last:
                ctx.set(dut.o.ready, rng.random() >= stall)
                _, _, ready, valid, byte, last = await ctx.tick().sample(
                    dut.o.ready, dut.o.valid, dut.o.payload.data, dut.o.payload.last
                )
                last &= ready & valid
                content += bytes([byte]) if ready and valid else b""
            found.append(content)
        ctx.set(dut.o.ready, 1)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(dut.o.valid)

    async def serve(ctx):
        await port.run(ctx, dut)

    async def cap(ctx):
        for _ in range(20_000):
            await ctx.tick()
        raise AssertionError("no answer")

    m = Module()
    m.domains.sync = ClockDomain("sync")
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(ask)
    simulator.add_testbench(listen)
    simulator.add_testbench(serve, background=True)
    simulator.add_testbench(cap, background=True)
    simulator.run()
    return found, port.words


def write(address, *words):
    return True, b"".join(word.to_bytes(4, "little") for word in (address, *words))


def read(address, count):
    return False, address.to_bytes(4, "little") + bytes([count])


def words(*values, code=Answer.OKAY):
    return b"".join(value.to_bytes(4, "little") for value in values) + bytes([code])


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_requests(stall):
    """Reads, writes, and what is refused in their middle: what follows is as if nothing was."""
    far = 1 << ADDRESS_BITS
    requests = {
        read(8, 3): words(102, 103, 104),
        write(4, 0x7E7D0102): words(),
        read(0, 3): words(100, 0x7E7D0102, 102),
        write(12, 1, 2, 3, 4): words(code=Answer.REFUSED),
        read(12, 2): words(1, 2),
        read(16, 3): words(2, code=Answer.REFUSED),
        read(4 * NOWHERE - 4, 2): words(100 + NOWHERE - 1, code=Answer.NOWHERE),
        write(4 * NOWHERE - 4, 9, 9, 9): words(code=Answer.NOWHERE),
        read(6, 1): words(code=Answer.UNALIGNED),
        write(1, 5, 5): words(code=Answer.UNALIGNED),
        read(far, 1): words(code=Answer.NOWHERE),
        write(far + 8, 3): words(code=Answer.NOWHERE),
        write((1 << 32) - 4, 3, 3): words(code=Answer.NOWHERE),
        read(0, 0): words(),
        read(0, 1): words(100),
    }
    found, left = answers(list(requests), stall, seed=1)
    assert found == list(requests.values())
    expected = list(range(100, 100 + WORDS))
    expected[1:5] = [0x7E7D0102, 102, 1, 2]
    expected[NOWHERE - 1] = 9
    assert left == expected


@pytest.mark.parametrize("bits", [2, 32])
def test_address_bits(bits):
    with pytest.raises(ValueError, match=f"^Address bits must be 3 to 31, not {bits}$"):
        Requester(bits)
