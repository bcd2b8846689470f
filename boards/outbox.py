"""From answers and results to a serial line's bytes."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from .framing import Framer
from .inbox import longest_payload
from .protocol import VERSION, Answer, Kind

__all__ = ["Outbox"]


class Outbox(wiring.Component):
    """Sends frames, one after the other; results wait for the line.

    Parameters
    ----------
    input_bytes, output_bytes : int
        Bytes of a beat of each stream.
    address_bits : int
        Of a register's byte address; 0 without registers.

    Members
    -------
    reset, accepted, refused : In(1)
    error, expected : In(8)
        From the inbox's members of the same names. A reset ends the frame that is being sent.
    m_axis_tdata : In(signed(8 * output_bytes))
    m_axis_tvalid, m_axis_tlast, m_axis_tuser : In(1)
    m_axis_tready : Out(1)
        Results.
    answer : In(stream of {data: 8, last: 1})
        Payloads of answers to requests, if there are registers.
    o : Out(stream of 8)
        Bytes for the line.
    """

    def __init__(self, input_bytes, output_bytes, address_bits):
        self._output_bytes = output_bytes
        self._registers = bool(address_bits)
        longest = longest_payload(input_bytes)
        self._info = [VERSION, input_bytes, output_bytes, longest, address_bits]
        members = {
            "reset": In(1),
            "accepted": In(1),
            "refused": In(1),
            "error": In(8),
            "expected": In(8),
            "m_axis_tdata": In(signed(8 * output_bytes)),
            "m_axis_tvalid": In(1),
            "m_axis_tready": Out(1),
            "m_axis_tlast": In(1),
            "m_axis_tuser": In(1),
            "o": Out(stream.Signature(8)),
        }
        if self._registers:
            answer = StructLayout({"data": 8, "last": 1})
            members["answer"] = In(stream.Signature(answer))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.framer = framer = Framer()
        wiring.connect(m, framer.o, wiring.flipped(self.o))
        # They wait here until the line is free: at most one of each kind.
        info, refuse, accept = Signal(), Signal(), Signal()
        code = Signal(8)
        number = Signal(8)
        # (pending, kind, number, payload): sent in this order when several wait.
        messages = {
            "INFO": (info, Kind.INFO, 0, self._info),
            "REFUSE": (refuse, Kind.REFUSE, self.expected, [code]),
            "ACCEPT": (accept, Kind.ACCEPT, self.expected - 1, []),
        }
        self._i = framer.i
        waiting = Signal()
        answer = self.answer.valid if self._registers else 0
        m.d.comb += waiting.eq(info | refuse | accept | answer)
        with m.FSM(name="sender"):
            with m.State("CHOOSE"):
                with m.If(self.reset):
                    pass  # its answer comes first
                with m.Elif(info):
                    m.d.sync += [info.eq(0), number.eq(0)]
                    m.next = "INFO0"
                with m.Elif(refuse):
                    m.d.sync += refuse.eq(0)
                    m.next = "REFUSE0"
                with m.Elif(accept):
                    m.d.sync += accept.eq(0)
                    m.next = "ACCEPT0"
                if self._registers:
                    with m.Elif(answer):
                        m.next = "ANSWER"
                with m.Elif(self.m_axis_tvalid):
                    m.next = "RESULT"
            for name, (_, kind, sequence, payload) in messages.items():
                content = [kind, sequence, *payload]
                for k, value in enumerate(content):
                    final = k == len(content) - 1
                    with m.State(f"{name}{k}"):
                        self._put(m, value, "CHOOSE" if final else f"{name}{k + 1}", last=final)
            self._send_results(m, number, waiting)
            if self._registers:
                self._send_answers(m, number, info)
        with m.If(self.accepted):
            m.d.sync += accept.eq(1)
        with m.If(self.refused):
            m.d.sync += [refuse.eq(1), code.eq(self.error)]
        with m.If(self.reset):
            m.d.sync += [info.eq(1), accept.eq(0), refuse.eq(0)]
        return m

    def _put(self, m, value, following, last=0):
        i = self._i
        m.d.comb += [i.payload.data.eq(value), i.payload.last.eq(last), i.valid.eq(1)]
        with m.If(i.ready):
            m.next = following

    def _send_results(self, m, number, waiting):
        """Beats up to the end of a timestep, as many as there are or as a frame may carry."""
        flags = Signal(2)
        most = longest_payload(self._output_bytes) // self._output_bytes
        count = Signal(range(most + 1))
        data = Signal(8 * self._output_bytes)
        byte = Signal(range(max(self._output_bytes, 2)))
        i = self._i
        with m.State("RESULT"):
            m.d.sync += [count.eq(0), flags.eq(0)]
            self._put(m, Kind.RESULT, "NUMBER")
        with m.State("NUMBER"):
            self._put(m, number, "BEAT")
        with m.State("BEAT"):
            with m.If(flags.any() | (count == most) | (waiting & ~self.m_axis_tvalid)):
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
            self._put(m, flags, "CHOOSE", last=1)
            with m.If(i.ready):
                m.d.sync += number.eq(number + 1)

    def _send_answers(self, m, number, info):
        i = self._i
        with m.State("ANSWER"):
            self._put(m, Kind.ANSWER, "ANSWER NUMBER")
        with m.State("ANSWER NUMBER"):
            self._put(m, number, "ANSWER BYTE")
        with m.State("ANSWER BYTE"):
            with m.If(info):  # a reset took the rest
                self._put(m, Answer.REFUSED, "CHOOSE", last=1)
            with m.Else():
                m.d.comb += [
                    i.payload.data.eq(self.answer.payload.data),
                    i.payload.last.eq(self.answer.payload.last),
                    i.valid.eq(self.answer.valid),
                    self.answer.ready.eq(i.ready & self.answer.valid),
                ]
                with m.If(i.valid & i.ready & i.payload.last):
                    m.d.sync += number.eq(number + 1)
                    m.next = "CHOOSE"
