"""Between a serial line and an accelerator's streams and registers."""

from amaranth.hdl import Module, ResetInserter, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hw.register_block import axi_lite_members
from .inbox import Inbox
from .outbox import Outbox
from .requester import Requester
from .uart import UartReceiver, UartTransmitter

__all__ = ["Bridge", "connect_accelerator"]


class Bridge(wiring.Component):
    """Moves beats and registers' words between a serial line and an accelerator.

    The protocol is :mod:`.protocol`. A frame reaches the accelerator only after its checksum was
    found right. The line never stalls the accelerator's input, and waits for its output.

    Parameters
    ----------
    input_bytes, output_bytes : int
        Bytes of a beat of each stream, 1 to 8.
    cycles : int
        Clock cycles a bit on the line, see :func:`.uart.divisor`.
    address_bits : int
        Of the byte address of the accelerator's registers; 0 if it has none.

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
    s_axil_...
        To the accelerator's members of the same names, if it has registers.
    """

    def __init__(self, input_bytes, output_bytes, cycles, address_bits=0):
        for name, beat in [("Input", input_bytes), ("Output", output_bytes)]:
            if beat not in range(1, 9):
                raise ValueError(f"{name} bytes must be 1 to 8, not {beat}")
        self._input_bytes = input_bytes
        self._output_bytes = output_bytes
        self._cycles = cycles
        self._address_bits = address_bits
        registers = axi_lite_members(address_bits) if address_bits else {}
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
                **{name: member.flip() for name, member in registers.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self._cycles)
        m.submodules.inbox = inbox = Inbox(self._input_bytes, bool(self._address_bits))
        m.submodules.outbox = outbox = Outbox(
            self._input_bytes, self._output_bytes, self._address_bits
        )
        m.submodules.transmitter = transmitter = UartTransmitter(self._cycles)
        wiring.connect(m, outbox.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            inbox.data.eq(receiver.data),
            inbox.strobe.eq(receiver.strobe),
            inbox.broken.eq(receiver.error),
            self.reset.eq(inbox.reset),
        ]
        for name in ("reset", "accepted", "refused", "error", "expected"):
            m.d.comb += getattr(outbox, name).eq(getattr(inbox, name))
        parts = {"s_axis_": inbox, "m_axis_": outbox}
        if self._address_bits:
            requester = Requester(self._address_bits)
            m.submodules.requester = ResetInserter(self.reset)(requester)
            wiring.connect(m, inbox.request, requester.i)
            wiring.connect(m, requester.o, outbox.answer)
            parts["s_axil_"] = requester
        for start, part in parts.items():
            _connect(m, self.signature, start, part, self)
        return m


def connect_accelerator(m, bridge, accelerator):
    """Connect a bridge to the members of an accelerator that have the same names."""
    for start in ("s_axis_", "m_axis_", "s_axil_"):
        _connect(m, bridge.signature, start, bridge, accelerator)


def _connect(m, signature, start, source, sink):
    """Members of a signature that begin so: outputs from one object to the other, inputs back."""
    for name, member in signature.members.items():
        if name.startswith(start):
            one, other = getattr(source, name), getattr(sink, name)
            m.d.comb += other.eq(one) if member.flow is Out else one.eq(other)
