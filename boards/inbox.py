"""From a serial line's bytes to beats and requests."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .framing import Deframer
from .protocol import Error, Kind

__all__ = ["BUFFER_DEPTH", "Inbox", "buffer_width", "longest_payload"]

BUFFER_DEPTH = 256  # bytes; one block RAM of either family


def longest_payload(beat):
    """Bytes of data that a frame may carry, of beats of so many bytes."""
    return 120 // beat * beat


def buffer_width(registers):
    """Bits of the buffer's words: a byte, whether it is the last, and of which kind of request."""
    return 11 if registers else 9


class Inbox(wiring.Component):
    """Takes frames, keeps those that are whole and in turn, and hands their contents on in order.

    Never stalls the line: what has no room is refused.

    Parameters
    ----------
    input_bytes : int
        Bytes of a beat.
    registers : bool
        Whether there are requests; without, their frames are refused.

    Members
    -------
    data : In(8)
        Received byte.
    strobe : In(1)
        ``data`` is new.
    broken : In(1)
        The line broke a byte.
    reset : Out(1)
        One cycle: a frame asked for a reset; the inbox is empty after it.
    accepted, refused : Out(1)
        One cycle: a frame is taken and there is room for another; a frame is dropped.
    error : Out(8)
        Of the frame that is refused.
    expected : Out(8)
        Number of the next frame.
    s_axis_tdata : Out(signed(8 * input_bytes))
    s_axis_tvalid, s_axis_tlast : Out(1)
    s_axis_tready : In(1)
        Beats.
    request : Out(stream of {data: 8, last: 1, write: 1})
        Payloads of requests, if there are any: to a :class:`.requester.Requester`.
    """

    def __init__(self, input_bytes, registers):
        self._input_bytes = input_bytes
        self._registers = registers
        members = {
            "data": In(8),
            "strobe": In(1),
            "broken": In(1),
            "reset": Out(1),
            "accepted": Out(1),
            "refused": Out(1),
            "error": Out(8),
            "expected": Out(8),
            "s_axis_tdata": Out(signed(8 * input_bytes)),
            "s_axis_tvalid": Out(1),
            "s_axis_tready": In(1),
            "s_axis_tlast": Out(1),
        }
        if registers:
            request = StructLayout({"data": 8, "last": 1, "write": 1})
            members["request"] = Out(stream.Signature(request))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.deframer = deframer = Deframer()
        m.submodules.buffer = buffer = Memory(
            shape=buffer_width(self._registers), depth=BUFFER_DEPTH, init=[]
        )
        m.d.comb += [
            deframer.data.eq(self.data),
            deframer.strobe.eq(self.strobe),
            deframer.broken.eq(self.broken),
        ]
        head, tail = Signal(8), Signal(8)  # up to head is committed; from tail on is unread
        self._keep(m, deframer, buffer, head, tail)
        self._hand_on(m, buffer, head, tail)
        with m.If(self.reset):
            m.d.sync += [head.eq(0), tail.eq(0)]
        return m

    def _keep(self, m, deframer, buffer, head, tail):
        """Frames into the buffer; one that is not whole is written over."""
        write = buffer.write_port()
        place = Signal(8)
        full = Signal()
        long = Signal()  # the frame is longer than the buffer's room
        room = Signal()  # a frame was taken, and waits for room for the next one
        beat = Signal(range(max(self._input_bytes, 2)))
        last_of_beat = beat == self._input_bytes - 1
        kind = deframer.kind
        data = (kind == Kind.DATA) | (kind == Kind.DATA_LAST)
        writes = (kind == Kind.WRITE) & int(self._registers)
        reads = (kind == Kind.READ) & int(self._registers)
        size = Signal(8)  # bytes of a whole frame's payload
        m.d.comb += [
            full.eq((place + 1)[:8] == tail),
            size.eq(place - head + 1),
            write.addr.eq(place),
            write.data.eq(
                Cat(deframer.payload, deframer.good & (kind != Kind.DATA), writes, reads)
            ),
            write.en.eq(~full & (deframer.put | (deframer.good & deframer.any))),
        ]
        with m.If(deframer.put):
            m.d.sync += beat.eq(Mux(last_of_beat, 0, beat + 1))
            with m.If(full):
                m.d.sync += long.eq(1)
            with m.Else():
                m.d.sync += place.eq(place + 1)
        whole = (
            (data & last_of_beat) | (writes & (size[:2] == 0) & (size >= 8)) | (reads & (size == 5))
        )

        def refuse(error):
            m.d.comb += [self.refused.eq(1), self.error.eq(error)]

        with m.If(deframer.good | deframer.bad):
            m.d.sync += [place.eq(head), beat.eq(0), long.eq(0)]
        with m.If(deframer.bad):
            refuse(Mux(deframer.line, Error.LINE, Error.CHECKSUM))
        with m.If(deframer.good):
            with m.If(kind == Kind.RESET):
                m.d.comb += self.reset.eq(1)
            with m.Elif(~(data | writes | reads)):
                refuse(Error.KIND)
            with m.Elif(~deframer.any | ~(whole | long | full)):
                refuse(Error.LENGTH)
            with m.Elif((deframer.number + 1)[:8] == self.expected):
                m.d.sync += room.eq(1)  # a repeated frame: its answer was lost
            with m.Elif(deframer.number != self.expected):
                refuse(Error.SEQUENCE)
            with m.Elif(long | full):
                refuse(Error.OVERFLOW)
            with m.Else():
                m.d.sync += [
                    head.eq(place + 1),
                    place.eq(place + 1),
                    self.expected.eq(self.expected + 1),
                    room.eq(1),
                ]
        used = Signal(8)
        m.d.comb += used.eq(head - tail)
        with m.If(room & (used < BUFFER_DEPTH - 1 - longest_payload(self._input_bytes))):
            m.d.comb += self.accepted.eq(1)
            m.d.sync += room.eq(0)
        with m.If(self.reset):
            m.d.sync += [place.eq(0), self.expected.eq(0), room.eq(0)]

    def _hand_on(self, m, buffer, head, tail):
        """Committed bytes, put together to beats, or one by one to a request."""
        read = buffer.read_port()
        word = Signal.like(read.data, reset_less=True)  # behind a block RAM there is little time
        filled = Signal(range(self._input_bytes + 1))
        m.d.sync += word.eq(read.data)
        m.d.comb += [
            read.addr.eq(tail),
            read.en.eq(1),
            self.s_axis_tvalid.eq(filled == self._input_bytes),
        ]
        with m.If(self.s_axis_tvalid & self.s_axis_tready):
            m.d.sync += filled.eq(0)
        with m.FSM(name="reader"):
            with m.State("FETCH"), m.If((head != tail) & ~self.s_axis_tvalid & ~self.reset):
                m.next = "READ"
            with m.State("READ"):
                m.next = "TAKE"
                with m.If(self.reset):
                    m.next = "FETCH"
            with m.State("TAKE"):
                asks, taken = Signal(), Signal(init=1)  # it is a request's byte; it is taken
                m.d.sync += [
                    self.s_axis_tdata.eq(Cat(self.s_axis_tdata, word[:8]) >> 8),
                    self.s_axis_tlast.eq(word[8]),
                ]
                with m.If(taken):
                    m.d.sync += [filled.eq(Mux(asks, filled, filled + 1)), tail.eq(tail + 1)]
                with m.If(taken | self.reset):
                    m.next = "FETCH"
                if self._registers:
                    m.d.comb += [
                        asks.eq(word[9:].any()),
                        taken.eq(~asks | self.request.ready),
                        self.request.valid.eq(asks),
                    ]
        if self._registers:
            m.d.comb += [
                self.request.payload.data.eq(word[:8]),
                self.request.payload.last.eq(word[8]),
                self.request.payload.write.eq(word[9]),
            ]
        with m.If(self.reset):
            m.d.sync += filled.eq(0)
