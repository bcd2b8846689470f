# amaranth: UnusedElaboratable=no

"""A little accelerator with the ports of a real one, and its twin in NumPy."""

import numpy as np
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

FEATURES = 3
WEIGHTS = [(37 * i + 11) % 256 - 128 for i in range(512)]


class Accelerator(wiring.Component):
    """Two outputs a timestep of three inputs: running sum of weighted inputs, and its half."""

    def __init__(self, input_bytes=1, output_bytes=2):
        super().__init__(
            {
                "s_axis_tdata": In(signed(8 * input_bytes)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(signed(8 * output_bytes)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.weights = weights = Memory(
            shape=signed(8), depth=512, init=WEIGHTS, attrs={"ram_style": "block"}
        )
        read = weights.read_port()
        place = Signal(9)
        m.d.comb += [read.addr.eq(place), read.en.eq(1)]
        count = Signal(range(FEATURES))
        last = Signal()
        total = Signal(signed(24))
        with m.FSM():
            with m.State("FETCH"):  # the memory's two registers follow the place
                m.next = "WAIT"
            with m.State("WAIT"):
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += self.s_axis_tready.eq(1)
                with m.If(self.s_axis_tvalid):
                    m.d.sync += last.eq(self.s_axis_tlast)
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.next = "ADD"
            with m.State("ADD"):
                m.next = "ADDED"
            with m.State("ADDED"):
                m.d.sync += [count.eq(count + 1), place.eq(place + 1)]
                m.next = "FETCH"
                with m.If(count == FEATURES - 1):
                    m.d.sync += count.eq(0)
                    m.next = "WHOLE"
            with m.State("WHOLE"):
                m.d.comb += [self.m_axis_tvalid.eq(1), self.m_axis_tdata.eq(total)]
                with m.If(self.m_axis_tready):
                    m.next = "HALF"
            with m.State("HALF"):
                m.d.comb += [
                    self.m_axis_tvalid.eq(1),
                    self.m_axis_tuser.eq(1),
                    self.m_axis_tlast.eq(last),
                    self.m_axis_tdata.eq(total >> 1),
                ]
                with m.If(self.m_axis_tready):
                    m.next = "FETCH"
                    with m.If(last):
                        m.d.sync += [total.eq(0), place.eq(0)]

        # Registers where a hard block has its own: memory, both operands, product.
        weight = Signal(signed(8), reset_less=True)
        a = Signal(signed(8), reset_less=True)
        b = Signal.like(self.s_axis_tdata, reset_less=True)
        product = Signal(signed(len(a) + len(b)), reset_less=True)
        m.d.sync += [weight.eq(read.data), a.eq(weight), b.eq(self.s_axis_tdata), product.eq(a * b)]
        adding = Signal(3)
        m.d.sync += adding.eq((adding << 1) | (self.s_axis_tvalid & self.s_axis_tready))
        with m.If(adding[1]):
            m.d.sync += total.eq(total + product)
        return m


def expected(sequence, output_bytes=2):
    """What the accelerator answers: (time, 2)."""
    products = np.asarray(sequence).ravel() * np.array(WEIGHTS)[np.arange(np.size(sequence)) % 512]
    totals = np.cumsum(products)[FEATURES - 1 :: FEATURES]
    wrap = 1 << (8 * output_bytes)
    results = np.stack([totals, totals >> 1], axis=1)
    return (results + wrap // 2) % wrap - wrap // 2
