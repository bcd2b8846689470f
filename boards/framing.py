"""Frames on a byte line: flags, escapes and checksums (see :mod:`.protocol`)."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from .protocol import ESCAPE, FLAG

__all__ = ["Deframer", "Framer"]


class Deframer(wiring.Component):
    """Finds frames among received bytes; keeps up with a byte every second cycle, never stalls.

    Members
    -------
    data : In(8)
        Received byte.
    strobe : In(1)
        ``data`` is new.
    broken : In(1)
        The line broke a byte; the frame around it is bad.
    kind, number : Out(8)
        First two bytes of the frame.
    payload : Out(8)
        A byte of the payload, while ``put``, or at ``good`` its last byte if ``any``.
    put : Out(1)
        ``payload`` is a byte and not the last.
    any : Out(1)
        The frame has a payload.
    good : Out(1)
        One cycle: the frame ended and is whole.
    bad : Out(1)
        One cycle: the frame ended and is not; ``line`` tells a broken byte from a checksum.
    line : Out(1)
    """

    data: In(8)
    strobe: In(1)
    broken: In(1)
    kind: Out(8)
    number: Out(8)
    payload: Out(8)
    put: Out(1)
    any: Out(1)
    good: Out(1)
    bad: Out(1)
    line: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740(8).create()

        # Three bytes are held back: two may turn out to be the checksum, one the last byte.
        held = Signal(24)
        count = Signal(range(6))  # kind, number and up to three held
        escaped = Signal()
        byte = Signal(8)
        content = Signal()
        end = Signal()
        m.d.comb += [
            byte.eq(self.data ^ Mux(escaped, 0x20, 0)),
            end.eq(self.strobe & (self.data == FLAG)),
            content.eq(self.strobe & (self.data != FLAG) & ((self.data != ESCAPE) | escaped)),
            crc.data.eq(byte),
            crc.valid.eq(content),
            self.payload.eq(held[16:]),
            self.put.eq(content & (count == 5)),
            self.any.eq(count == 5),
        ]
        with m.If(self.strobe):
            m.d.sync += escaped.eq((self.data == ESCAPE) & ~escaped)
        with m.If(self.broken):
            m.d.sync += self.line.eq(1)
        with m.If(content):
            with m.Switch(count):
                with m.Case(0):
                    m.d.sync += self.kind.eq(byte)
                with m.Case(1):
                    m.d.sync += self.number.eq(byte)
                with m.Default():
                    m.d.sync += held.eq(Cat(byte, held))
            with m.If(count != 5):
                m.d.sync += count.eq(count + 1)

        whole = Signal()
        m.d.comb += [
            whole.eq((count >= 4) & crc.match_detected & ~escaped & ~self.line),
            self.good.eq(end & whole),
            self.bad.eq(end & ~whole & ((count != 0) | self.line)),
            crc.start.eq(end),
        ]
        with m.If(end):
            m.d.sync += [count.eq(0), escaped.eq(0), self.line.eq(0)]
        return m


class Framer(wiring.Component):
    """Puts flags, escapes and the checksum around bytes; stalls while it sends those.

    Members
    -------
    i : In(stream of {data: 8, last: 1})
        Contents of frames; ``last`` ends one.
    o : Out(stream of 8)
        Bytes for the line.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(StructLayout({"data": 8, "last": 1}))),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740(8).create()
        value = Signal(8)
        special = Signal()
        escaped = Signal()
        checksum = Signal(16)
        taken = Signal()
        m.d.comb += [
            special.eq((value == FLAG) | (value == ESCAPE)),
            taken.eq(self.o.valid & self.o.ready & (escaped | ~special)),
            self.o.payload.eq(Mux(escaped, value ^ 0x20, Mux(special, ESCAPE, value))),
            crc.data.eq(self.i.payload.data),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += escaped.eq(special & ~escaped)

        with m.FSM():
            with m.State("OPEN"):
                m.d.comb += [
                    crc.start.eq(1),
                    self.o.payload.eq(FLAG),
                    self.o.valid.eq(self.i.valid),
                ]
                m.d.sync += escaped.eq(0)
                with m.If(self.i.valid & self.o.ready):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    value.eq(self.i.payload.data),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(taken),
                    crc.valid.eq(taken),
                ]
                with m.If(taken & self.i.payload.last):
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += checksum.eq(crc.crc)
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [value.eq(checksum[8:]), self.o.valid.eq(1)]
                with m.If(taken):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [value.eq(checksum[:8]), self.o.valid.eq(1)]
                with m.If(taken):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "OPEN"
        return m
