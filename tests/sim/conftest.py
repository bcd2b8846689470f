"""A small device under test with the ports of a design, awkward timing, and faults on request.

The fixture ``device`` is this module: test folders are no packages, so tests cannot import it.
"""

import sys

import numpy as np
import pytest
from amaranth.back import rtlil, verilog
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from deltaloom.compiler import cells
from deltaloom.sim.stimulus import Stimulus

VECTOR = 3
FAULTY_BEAT = 5
STATEFUL = (
    cells.LSTM(3, 5),
    cells.GRU(4, 7),
    cells.RNN(2, 9),
    cells.ResetBeforeGRU(3, 5),
    cells.ProjectedLSTM(3, 7, 2),
    cells.PeepholeLSTM(3, 5),
    cells.CoupledLSTM(3, 5),
    cells.LiGRU(3, 4),
    cells.SRU(3, 5),
    cells.SRU(5, 5),
    cells.LayerNormLSTM(3, 5),
    cells.ConvLSTM(2, 3, (3, 2), 3),
)


@pytest.fixture(params=STATEFUL, ids=lambda cell: type(cell).__name__)
def stateful_cell(request):
    """Each kind of cell with states, of an awkward size."""
    return request.param


class Device(wiring.Component):
    """Sums every three input beats and sends ``7 * sum`` and ``-sum``.

    Between the two it waits as many cycles as the sum's two low bits say; it takes the next
    vector's first beat while it sends. ``fault`` names one thing that goes wrong about output
    beat ``FAULTY_BEAT``.
    """

    def __init__(self, ports, fault=None):
        self._fault = fault
        super().__init__(
            {
                "s_axis_tdata": In(signed(ports.input_bits)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(signed(ports.output_bits)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        total = Signal(signed(self.m_axis_tdata.shape().width))
        result = Signal.like(total)
        count = Signal(range(VECTOR + 1))
        ending = Signal()
        result_ending = Signal()
        second = Signal()
        busy = Signal()
        wait = Signal(4)
        sent = Signal(32)
        about = Signal()
        m.d.comb += about.eq(sent == FAULTY_BEAT)

        # Ready depends on the output's ready in the same cycle, as AXI4-Stream allows.
        leaving = Signal()
        m.d.comb += [
            leaving.eq(self.m_axis_tvalid & self.m_axis_tready & second),
            self.s_axis_tready.eq((count < VECTOR) | ~busy | leaving),
        ]
        with m.If((count == VECTOR) & (~busy | leaving)):
            m.d.sync += [
                result.eq(total),
                result_ending.eq(ending),
                busy.eq(1),
                second.eq(0),
                wait.eq(0),
                count.eq(0),
                total.eq(0),
            ]
        with m.Elif(leaving):
            m.d.sync += busy.eq(0)
        with m.If(self.s_axis_tvalid & self.s_axis_tready):
            with m.If(count == VECTOR):
                m.d.sync += [count.eq(1), total.eq(self.s_axis_tdata)]
            with m.Else():
                m.d.sync += [count.eq(count + 1), total.eq(total + self.s_axis_tdata)]
            m.d.sync += ending.eq(self.s_axis_tlast)

        shown = Signal.like(result)
        m.d.comb += [
            shown.eq(-result),
            self.m_axis_tvalid.eq(busy & (wait == 0)),
            self.m_axis_tuser.eq(second),
            self.m_axis_tlast.eq(second & result_ending),
        ]
        with m.If(~second):
            m.d.comb += shown.eq(result * 7)
        m.d.comb += self.m_axis_tdata.eq(shown)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += sent.eq(sent + 1)
            with m.If(~second):
                m.d.sync += [second.eq(1), wait.eq(result[:2])]

        match self._fault:
            case "bit":
                with m.If(about):
                    m.d.comb += self.m_axis_tdata.eq(shown ^ 4)
            case "top bit":
                with m.If(about):
                    m.d.comb += self.m_axis_tdata.eq(shown ^ (1 << len(shown) - 1))
            case "user":
                with m.If(about):
                    m.d.comb += self.m_axis_tuser.eq(0)
            case "last":
                m.d.comb += self.m_axis_tlast.eq(0)
            case "late":
                with m.If(self.m_axis_tvalid & self.m_axis_tready & (sent == FAULTY_BEAT - 1)):
                    m.d.sync += wait.eq(result[:2] + 1)
            case "hang":
                with m.If(about):
                    m.d.comb += self.m_axis_tvalid.eq(0)
            case "extra":
                tail = Signal(4)
                m.d.sync += tail.eq(Mux(busy, 0, tail + (sent > FAULTY_BEAT)))
                with m.If(tail.all()):
                    m.d.comb += self.m_axis_tvalid.eq(1)
            case "withdraw":
                seen = Signal()
                m.d.sync += seen.eq(about & self.m_axis_tvalid)
                with m.If(seen & about):
                    m.d.comb += self.m_axis_tvalid.eq(0)
        return m


def make_rtlil(ports, fault=None):
    return rtlil.convert(Device(ports, fault), name="top", emit_src=False)


def make_verilog(ports, fault=None):
    return verilog.convert(Device(ports, fault), name="top", emit_src=False)


def make_stimulus(ports, vectors, seed, stall=0.0, **options):
    """Random stimulus of ``vectors`` vectors, every fourth the end of a sequence."""
    rng = np.random.default_rng(seed)
    n, outputs = vectors * VECTOR, vectors * 2
    bound = 1 << (ports.input_bits - 1)
    data = rng.integers(-bound, bound, n)
    last = np.arange(1, n + 1) % (4 * VECTOR) == 0
    waits = {}
    if stall:
        waits["gaps"] = rng.geometric(1 - stall, n) - 1
        waits["stalls"] = rng.geometric(1 - stall, outputs) - 1
    return Stimulus(data, last, outputs, **waits, **options)


def wrap(values, bits):
    values = np.asarray(values, np.int64)
    return values << (64 - bits) >> (64 - bits)


def answer(ports, stimulus):
    """What the device sends: data, last, user."""
    total = wrap(stimulus.data.reshape(-1, VECTOR).sum(1), ports.output_bits)
    data = wrap(np.stack([total * 7, -total], 1).ravel(), ports.output_bits)
    user = np.arange(len(data)) % 2 == 1
    return data, user & (np.arange(len(data)) % 8 == 7), user


@pytest.fixture(scope="session")
def device():
    return sys.modules[__name__]


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTALOOM_CACHE", str(tmp_path / "cache"))
