"""The register block as a host sees it: answers, refusals and what it does to the engines."""

# amaranth: UnusedElaboratable=no

from types import SimpleNamespace

import numpy as np
import pytest

from deltaloom.compiler.address_map import AddressMap
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.hw.register_block import RegisterBlock

from .conftest import simulate

OKAY, SLAVE_ERROR, DECODE_ERROR = 0, 2, 3


@pytest.fixture(scope="module")
def addresses(integer_network):
    """Two layers with states of 5, 5 and 3 elements, and one without."""
    return AddressMap.of(integer_network(LSTM(3, 5), GRU(5, 3), Linear(3, 2)))


def talk(bench, block, requests, *, running=lambda step: 0, settle=0, waiting=0, seed=0, stall=0.0):
    """Answers to requests (write, address, word[, strobe]); what the engines were told."""
    rng = np.random.default_rng(seed)
    log = SimpleNamespace(answers=[], writes=[], loads=[], cycles=[], blocked=0)

    async def host(ctx):
        for step, (write, address, word, *strobe) in enumerate(requests):
            ctx.set(block.running, running(step))
            begun = cycle = 0
            accepted = False
            while True:
                ctx.set(block.settled, cycle >= settle)
                offer = not accepted and rng.random() >= stall
                ready = rng.random() >= stall
                for name in ("aw", "w"):
                    ctx.set(getattr(block, f"s_axil_{name}valid"), offer and write)
                ctx.set(block.s_axil_arvalid, offer and not write)
                ctx.set(block.s_axil_awaddr if write else block.s_axil_araddr, address)
                ctx.set(block.s_axil_wdata, word & 0xFFFFFFFF)
                ctx.set(block.s_axil_wstrb, strobe[0] if strobe else 0xF)
                ctx.set(block.s_axil_bready, ready)
                ctx.set(block.s_axil_rready, ready)
                taken = ctx.get(block.s_axil_awready if write else block.s_axil_arready)
                if offer and taken:
                    accepted, begun = True, cycle
                if told := ctx.get(block.write):
                    log.writes.append((told, ctx.get(block.index), ctx.get(block.data)))
                if told := ctx.get(block.load):
                    log.loads.append(told)
                log.blocked += ctx.get(block.loading)
                valid = ctx.get(block.s_axil_bvalid if write else block.s_axil_rvalid)
                error = ctx.get(block.s_axil_bresp if write else block.s_axil_rresp)
                data = ctx.get(block.s_axil_rdata)
                await ctx.tick()
                cycle += 1
                assert cycle < 400, "no answer"
                if valid and ready:
                    log.answers.append((error, None if write else data))
                    log.cycles.append(cycle - 1 - begun)
                    break

    async def engines(ctx):
        """Memories of states answer a cycle later; a load takes nine."""
        ctx.set(block.waiting, waiting)
        for place in range(len(block._map.states)):
            ctx.set(block.states[place], 0)
        due = []
        async for _, _, index, load in ctx.tick().sample(block.index, block.load):
            for place in range(len(block._map.states)):
                ctx.set(block.states[place], -1000 * (place + 1) - index)
            due = [(left - 1, which) for left, which in due if left]
            due += [(8, load)] if load else []
            ctx.set(block.done, next((which for left, which in due if not left), 0))

    from amaranth.hdl import ClockDomain, Module
    from amaranth.sim import Simulator

    m = Module()
    m.domains.sync = ClockDomain("sync")
    m.submodules.dut = block
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(engines, background=True)
    simulator.add_testbench(host)
    simulator.run()
    return log


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_states_are_written_and_read(bench, addresses, stall):
    at = addresses.addresses
    requests = [
        (1, at["l.0.h"], 7),
        (1, at["l.0.c"] + 16, -30_000),
        (1, at["l.1.h"] + 8, -1),
        (0, at["l.0.c"] + 4, 0),
        (0, at["l.1.h"] + 8, 0),
    ]
    log = talk(bench, RegisterBlock(addresses), requests, stall=stall)
    assert log.writes == [(1, 0, 7), (2, 4, -30_000), (4, 2, -1)]
    words = [(error, None if word is None else word - (1 << 32)) for error, word in log.answers]
    assert words == [*[(OKAY, None)] * 3, (OKAY, -2001), (OKAY, -3002)]
    if not stall:
        assert log.cycles == [2, 2, 2, 3, 3]


def test_a_load_is_answered_when_it_is_done(bench, addresses):
    at = addresses.addresses
    requests = [(1, at["l.0.load"], 1), (1, at["l.1.load"], 0)]
    log = talk(bench, RegisterBlock(addresses), requests)
    assert log.loads == [1, 2]
    assert log.answers == [(OKAY, None)] * 2
    assert log.blocked == 2 * 9
    assert log.cycles == [11, 11]


def test_states_wait_until_they_are_there(bench, addresses):
    at = addresses.addresses
    requests = [(0, at["l.0.h"], 0), (1, at["l.0.h"], 5), (0, at["l.0.steps"], 0)]
    log = talk(bench, RegisterBlock(addresses), requests, settle=20)
    assert log.cycles[:2] == [22, 21]
    assert log.cycles[2] == 3


def test_what_is_cut_off_is_counted_to_its_end(bench, addresses):
    """A read waits for the timesteps that are under way, but for no sequence."""
    at = addresses.addresses
    request = [(0, at["l.0.saturated.h"], 0)]
    assert talk(bench, RegisterBlock(addresses), request, settle=20).cycles == [22]
    during = talk(bench, RegisterBlock(addresses), request, settle=20, running=lambda step: 1)
    assert during.cycles == [3]
    assert during.answers == [(OKAY, 0)]


def test_counters_grow_by_their_amounts(addresses):
    """Each by its own."""
    block = RegisterBlock(addresses)
    names = [register.name for register in block._counters]
    amounts = {"l.0.saturated": 65_535, "l.0.kept.h": 1, "l.1.saturated.h": 3}
    found = {}

    async def bench(ctx):
        for name, amount in amounts.items():
            ctx.set(block.amounts[names.index(name)], amount)
        await ctx.tick().repeat(100)
        for name in amounts:
            ctx.set(block.amounts[names.index(name)], 0)
        ctx.set(block.settled, 1)
        ctx.set(block.s_axil_rready, 1)
        for name in names:
            ctx.set(block.s_axil_araddr, addresses.addresses[name])
            ctx.set(block.s_axil_arvalid, 1)
            *_, found[name] = await ctx.tick().sample(block.s_axil_rdata).until(block.s_axil_rvalid)
            ctx.set(block.s_axil_arvalid, 0)
            await ctx.tick()

    simulate(block, bench)
    assert found == {name: 100 * amounts.get(name, 0) for name in names}


def test_refusals(bench, addresses):
    at = addresses.addresses
    beyond = addresses.registers[-1].address + 4
    cases = [
        (1, at["cycles"], 0, SLAVE_ERROR),
        (0, at["l.0.load"], 0, SLAVE_ERROR),
        (1, at["status"], 0, SLAVE_ERROR),
        (0, beyond, 0, DECODE_ERROR),
        (1, beyond, 0, DECODE_ERROR),
        (0, at["l.1.h"] + 12, 0, DECODE_ERROR),
        (1, at["l.0.h"] + 20, 1, DECODE_ERROR),
    ]
    assert addresses.region == 32
    log = talk(bench, RegisterBlock(addresses), [case[:3] for case in cases])
    assert log.answers == [(error, None if write else 0) for write, _, _, error in cases]
    broken = talk(bench, RegisterBlock(addresses), [(1, at["l.0.h"], 1, 0x3)])
    assert broken.answers == [(SLAVE_ERROR, None)]
    again = talk(bench, RegisterBlock(addresses), [(1, at["l.0.load"], 1)], waiting=1)
    assert again.answers == [(SLAVE_ERROR, None)]
    for refused in (log, broken, again):
        assert not refused.writes
        assert not refused.loads


def test_while_a_sequence_runs(bench, addresses):
    at = addresses.addresses
    requests = [
        (1, at["l.0.h"], 1),
        (0, at["l.0.h"], 0),
        (1, at["l.0.load"], 1),
        (0, at["status"], 0),
        (0, at["cycles"], 0),
    ]
    log = talk(bench, RegisterBlock(addresses), requests, running=lambda step: 1)
    assert [error for error, _ in log.answers] == [SLAVE_ERROR] * 3 + [OKAY] * 2
    assert log.answers[1][1] == 0
    assert log.answers[3][1] == 1
    assert log.answers[4][1] > 0
    assert not log.writes
    assert not log.loads
