"""Reads and writes of registers, from the bytes of a request to the bytes of its answer."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from ..hw.register_block import WORD, WORD_BYTES, axi_lite_members
from .protocol import Answer

__all__ = ["Requester"]

ADDRESS_BYTES = 4


class Requester(wiring.Component):
    """Masters an AXI4-Lite port, a word at a time; waits for the port, the bytes and the answer.

    Parameters
    ----------
    address_bits : int
        Of a byte address of the port. Requests beyond them don't reach it.

    Members
    -------
    i : In(stream of {data: 8, last: 1, write: 1})
        Payloads of ``WRITE`` and ``READ`` as :mod:`.protocol` has them, whole; ``last`` ends one.
    o : Out(stream of {data: 8, last: 1})
        Payloads of ``ANSWER``, one for each.
    s_axil_...
        To the accelerator's members of the same names.
    """

    def __init__(self, address_bits):
        if address_bits not in range(3, 8 * ADDRESS_BYTES):
            raise ValueError(
                f"Address bits must be 3 to {8 * ADDRESS_BYTES - 1}, not {address_bits}"
            )
        self._address_bits = address_bits
        request = StructLayout({"data": 8, "last": 1, "write": 1})
        super().__init__(
            {
                "i": In(stream.Signature(request)),
                "o": Out(stream.Signature(StructLayout({"data": 8, "last": 1}))),
                **{name: flow.flip() for name, flow in axi_lite_members(address_bits).items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        address = Signal(8 * ADDRESS_BYTES)
        word = Signal(WORD)
        byte = Signal(range(WORD_BYTES))
        left = Signal(8)  # words to read
        last = Signal()  # the request's bytes are all taken
        code = Signal(Answer)
        m.d.comb += [
            self.s_axil_awaddr.eq(address),
            self.s_axil_araddr.eq(address),
            self.s_axil_wdata.eq(word),
            self.s_axil_wstrb.eq(-1),
        ]
        bad = Signal(Answer)
        m.d.comb += bad.eq(Mux(address[:2].any(), Answer.UNALIGNED, Answer.OKAY))
        with m.If(address[self._address_bits :].any()):
            m.d.comb += bad.eq(Answer.NOWHERE)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += last.eq(self.i.payload.last)

        def finish(error):
            m.d.sync += code.eq(error)
            m.next = "CODE"
            with m.If(~last):
                m.next = "SKIP"

        with m.FSM():
            with m.State("ADDRESS"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += code.eq(Answer.OKAY)
                with m.If(self.i.valid):
                    m.d.sync += [
                        address.eq(Cat(address, self.i.payload.data)[8:]),
                        byte.eq(byte + 1),
                    ]
                    with m.If(byte == ADDRESS_BYTES - 1):
                        m.next = "COUNT"
                        with m.If(self.i.payload.write):
                            m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [word.eq(Cat(word, self.i.payload.data)[8:]), byte.eq(byte + 1)]
                    with m.If(byte == WORD_BYTES - 1):
                        m.next = "ASK WRITE"
            with m.State("ASK WRITE"):
                with m.If(bad != Answer.OKAY):
                    finish(bad)
                with m.Else():
                    m.d.sync += [self.s_axil_awvalid.eq(1), self.s_axil_wvalid.eq(1)]
                    m.next = "WRITE"
            with m.State("WRITE"):
                with m.If(self.s_axil_awready):
                    m.d.sync += self.s_axil_awvalid.eq(0)
                with m.If(self.s_axil_wready):
                    m.d.sync += self.s_axil_wvalid.eq(0)
                m.d.comb += self.s_axil_bready.eq(1)
                with m.If(self.s_axil_bvalid):
                    with m.If(self.s_axil_bresp != Answer.OKAY):
                        finish(self.s_axil_bresp)
                    with m.Else():
                        m.d.sync += address.eq(address + WORD_BYTES)
                        m.next = "CODE"
                        with m.If(~last):
                            m.next = "WORD"
            with m.State("SKIP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.last):
                    m.next = "CODE"
            with m.State("COUNT"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += left.eq(self.i.payload.data)
                with m.If(self.i.valid):
                    m.next = "ASK READ"
            with m.State("ASK READ"):
                with m.If(left == 0):
                    m.next = "CODE"
                with m.Elif(bad != Answer.OKAY):
                    finish(bad)
                with m.Else():
                    m.d.comb += self.s_axil_arvalid.eq(1)
                    with m.If(self.s_axil_arready):
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.s_axil_rready.eq(1)
                m.d.sync += word.eq(self.s_axil_rdata)
                with m.If(self.s_axil_rvalid):
                    m.next = "GIVE"
                    with m.If(self.s_axil_rresp != Answer.OKAY):
                        finish(self.s_axil_rresp)
            with m.State("GIVE"):
                m.d.comb += [self.o.payload.data.eq(word[:8]), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += [word.eq(word >> 8), byte.eq(byte + 1)]
                    with m.If(byte == WORD_BYTES - 1):
                        m.d.sync += [address.eq(address + WORD_BYTES), left.eq(left - 1)]
                        m.next = "ASK READ"
            with m.State("CODE"):
                m.d.comb += [
                    self.o.payload.data.eq(code),
                    self.o.payload.last.eq(1),
                    self.o.valid.eq(1),
                ]
                with m.If(self.o.ready):
                    m.next = "ADDRESS"
        return m
