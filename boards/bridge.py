"""Between a serial line and an accelerator's streams."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .framing import Deframer, Framer
from .protocol import VERSION, Error, Kind
from .uart import UartReceiver, UartTransmitter

__all__ = ["Bridge", "longest_payload"]

_DEPTH = 256  # bytes; one block RAM of either family


def longest_payload(beat):
    """Bytes of data that a frame to the board may carry, of beats of so many bytes."""
    return 120 // beat * beat


class Bridge(wiring.Component):
    """Moves beats between a serial line and an accelerator; the protocol is :mod:`.protocol`.

    A frame reaches the accelerator only after its checksum was found right. The line never stalls
    the accelerator's input, and waits for its output.

    Parameters
    ----------
    input_bytes, output_bytes : int
        Bytes of a beat of each stream, 1 to 8.
    cycles : int
        Clock cycles a bit on the line, see :func:`.uart.divisor`.

    Members
    -------
    rx : In(1)
    tx : Out(1)
        The line.
    reset : Out(1)
        One cycle: reset the accelerator.
    s_axis_tdata : Out(signed(8 * input_bytes))
    s_axis_tvalid, s_axis_tlast : Out(1)
    s_axis_tready : In(1)
        To the accelerator's members of the same names.
    m_axis_tdata : In(signed(8 * output_bytes))
    m_axis_tvalid, m_axis_tlast, m_axis_tuser : In(1)
    m_axis_tready : Out(1)
        From the accelerator's members of the same names.
    """

    def __init__(self, input_bytes, output_bytes, cycles):
        for name, beat in [("Input", input_bytes), ("Output", output_bytes)]:
            if beat not in range(1, 9):
                raise ValueError(f"{name} bytes must be 1 to 8, not {beat}")
        self._input_bytes = input_bytes
        self._output_bytes = output_bytes
        self._cycles = cycles
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "reset": Out(1),
                "s_axis_tdata": Out(signed(8 * input_bytes)),
                "s_axis_tvalid": Out(1),
                "s_axis_tready": In(1),
                "s_axis_tlast": Out(1),
                "m_axis_tdata": In(signed(8 * output_bytes)),
                "m_axis_tvalid": In(1),
                "m_axis_tready": Out(1),
                "m_axis_tlast": In(1),
                "m_axis_tuser": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self._cycles)
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        m.submodules.transmitter = transmitter = UartTransmitter(self._cycles)
        wiring.connect(m, framer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            deframer.data.eq(receiver.data),
            deframer.strobe.eq(receiver.strobe),
            deframer.broken.eq(receiver.error),
        ]
        # Answers wait here until the transmitter is free: at most one of each kind.
        answers = {
            name: Signal(name=f"{name}_pending") for name in ("info", "accept", "refuse", "room")
        }
        expected = Signal(8)
        code = Signal(8)
        self._receive(m, deframer, answers, expected, code)
        self._send(m, framer, answers, expected, code)
        return m

    def _receive(self, m, deframer, answers, expected, code):
        """Frames into the buffer, and whole frames out of it to the accelerator."""
        m.submodules.buffer = buffer = Memory(shape=9, depth=_DEPTH, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        head, tail = Signal(8), Signal(8)  # up to head is committed; from tail on is unread
        place = Signal(8)
        full = Signal()
        long = Signal()  # the frame is longer than the buffer's room
        beat = Signal(range(max(self._input_bytes, 2)))
        last_of_beat = beat == self._input_bytes - 1
        data = (deframer.kind == Kind.DATA) | (deframer.kind == Kind.DATA_LAST)
        m.d.comb += [
            full.eq(place + 1 == tail),
            write.addr.eq(place),
            write.data.eq(Cat(deframer.payload, deframer.good & (deframer.kind == Kind.DATA_LAST))),
            write.en.eq(~full & (deframer.put | (deframer.good & deframer.any))),
        ]
        with m.If(deframer.put):
            m.d.sync += beat.eq(Mux(last_of_beat, 0, beat + 1))
            with m.If(full):
                m.d.sync += long.eq(1)
            with m.Else():
                m.d.sync += place.eq(place + 1)

        def refuse(error):
            m.d.sync += [answers["refuse"].eq(1), code.eq(error)]

        with m.If(deframer.good | deframer.bad):
            m.d.sync += [place.eq(head), beat.eq(0), long.eq(0)]
        with m.If(deframer.bad):
            refuse(Mux(deframer.line, Error.LINE, Error.CHECKSUM))
        with m.If(deframer.good):
            with m.If(deframer.kind == Kind.RESET):
                m.d.comb += self.reset.eq(1)
            with m.Elif(~data):
                refuse(Error.KIND)
            with m.Elif(~deframer.any | ~last_of_beat):
                refuse(Error.LENGTH)
            with m.Elif((deframer.number + 1)[:8] == expected):
                m.d.sync += answers["room"].eq(1)  # a repeated frame: its answer was lost
            with m.Elif(deframer.number != expected):
                refuse(Error.SEQUENCE)
            with m.Elif(long | full):
                refuse(Error.OVERFLOW)
            with m.Else():
                m.d.sync += [
                    head.eq(place + 1),
                    place.eq(place + 1),
                    expected.eq(expected + 1),
                    answers["room"].eq(1),
                ]
        used = Signal(8)
        m.d.comb += used.eq(head - tail)
        with m.If(answers["room"] & (used < _DEPTH - 1 - longest_payload(self._input_bytes))):
            m.d.sync += [answers["room"].eq(0), answers["accept"].eq(1)]

        filled = Signal(range(self._input_bytes + 1))
        m.d.comb += [
            read.addr.eq(tail),
            read.en.eq(1),
            self.s_axis_tvalid.eq(filled == self._input_bytes),
        ]
        with m.If(self.s_axis_tvalid & self.s_axis_tready):
            m.d.sync += filled.eq(0)
        with m.FSM(name="reader"):
            with m.State("FETCH"), m.If((head != tail) & ~self.s_axis_tvalid):
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += [
                    self.s_axis_tdata.eq(Cat(self.s_axis_tdata, read.data[:8]) >> 8),
                    self.s_axis_tlast.eq(read.data[8]),
                    filled.eq(filled + 1),
                    tail.eq(tail + 1),
                ]
                m.next = "FETCH"
        with m.If(self.reset):
            m.d.sync += [
                head.eq(0),
                tail.eq(0),
                place.eq(0),
                filled.eq(0),
                expected.eq(0),
                answers["info"].eq(1),
                answers["accept"].eq(0),
                answers["room"].eq(0),
                answers["refuse"].eq(0),
            ]

    def _send(self, m, framer, answers, expected, code):
        """Answers and results, one frame after the other."""
        number = Signal(8)
        flags = Signal(2)
        count = Signal(range(longest_payload(self._output_bytes) + 1))
        data = Signal(8 * self._output_bytes)
        byte = Signal(range(max(self._output_bytes, 2)))
        longest = longest_payload(self._input_bytes)
        i = framer.i
        # (answer, kind, number, payload): sent in this order when several wait.
        messages = [
            ("info", Kind.INFO, 0, [VERSION, self._input_bytes, self._output_bytes, longest]),
            ("refuse", Kind.REFUSE, expected, [code]),
            ("accept", Kind.ACCEPT, expected - 1, []),
        ]
        waiting = Signal()
        m.d.comb += waiting.eq(answers["info"] | answers["refuse"] | answers["accept"])

        def put(value, following, last=0):
            m.d.comb += [i.payload.data.eq(value), i.payload.last.eq(last), i.valid.eq(1)]
            with m.If(i.ready):
                m.next = following

        with m.FSM(name="sender"):
            with m.State("CHOOSE"):
                m.d.sync += [count.eq(0), flags.eq(0)]
                with m.If(self.reset):
                    pass  # its answer comes first
                with m.Elif(answers["info"]):
                    m.d.sync += [answers["info"].eq(0), number.eq(0)]
                    m.next = "INFO0"
                with m.Elif(answers["refuse"]):
                    m.d.sync += answers["refuse"].eq(0)
                    m.next = "REFUSE0"
                with m.Elif(answers["accept"]):
                    m.d.sync += answers["accept"].eq(0)
                    m.next = "ACCEPT0"
                with m.Elif(self.m_axis_tvalid):
                    m.next = "RESULT"
            for name, kind, sequence, payload in messages:
                content = [kind, sequence, *payload]
                for k, value in enumerate(content):
                    final = k == len(content) - 1
                    with m.State(f"{name.upper()}{k}"):
                        put(value, "CHOOSE" if final else f"{name.upper()}{k + 1}", last=final)
            with m.State("RESULT"):
                put(Kind.RESULT, "NUMBER")
            with m.State("NUMBER"):
                put(number, "BEAT")
            with m.State("BEAT"):
                enough = count == longest_payload(self._output_bytes) // self._output_bytes
                with m.If(flags.any() | enough | (waiting & ~self.m_axis_tvalid)):
                    m.next = "FLAGS"
                with m.Else():
                    m.d.comb += self.m_axis_tready.eq(1)
                    m.d.sync += [
                        data.eq(self.m_axis_tdata),
                        flags.eq(Cat(self.m_axis_tuser, self.m_axis_tlast)),
                        byte.eq(self._output_bytes - 1),
                    ]
                    with m.If(self.m_axis_tvalid):
                        m.d.sync += count.eq(count + 1)
                        m.next = "BYTE"
                    with m.Else():
                        m.d.sync += flags.eq(0)
            with m.State("BYTE"):
                m.d.comb += [i.payload.data.eq(data[:8]), i.valid.eq(1)]
                with m.If(i.ready):
                    m.d.sync += [data.eq(data >> 8), byte.eq(byte - 1)]
                    with m.If(byte == 0):
                        m.next = "BEAT"
            with m.State("FLAGS"):
                m.d.comb += [
                    i.payload.data.eq(flags),
                    i.payload.last.eq(1),
                    i.valid.eq(1),
                ]
                with m.If(i.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "CHOOSE"
