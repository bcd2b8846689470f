"""Asynchronous serial line: eight data bits, low one first, no parity, one stop bit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "UartTransmitter", "divisor"]


def divisor(clock, baud):
    """Clock cycles a bit.

    Parameters
    ----------
    clock : float
        Clock frequency, in Hz.
    baud : int
        Bits a second.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The nearest divisor is off by more than 2 %, or below 4.
    """
    cycles = round(clock / baud)
    if cycles < 4 or abs(clock / cycles / baud - 1) > 0.02:
        raise ValueError(f"Clock must allow {baud} baud within 2 %, not {clock:.0f} Hz")
    return cycles


class UartReceiver(wiring.Component):
    """Receives bytes; one pulse a byte, which cannot be stalled.

    Parameters
    ----------
    cycles : int
        Clock cycles a bit, at least 4.

    Members
    -------
    rx : In(1)
        The line; synchronised inside.
    data : Out(8)
        Last byte.
    strobe : Out(1)
        One cycle: ``data`` is a new byte.
    error : Out(1)
        One cycle: a stop bit was missing, and the byte was dropped.
    """

    def __init__(self, cycles):
        if cycles < 4:
            raise ValueError(f"Cycles a bit must be at least 4, not {cycles}")
        self._cycles = cycles
        super().__init__({"rx": In(1, init=1), "data": Out(8), "strobe": Out(1), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)

        timer = Signal(range(self._cycles + self._cycles // 2))
        count = Signal(range(9))
        m.d.sync += [self.strobe.eq(0), self.error.eq(0)]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.FSM():
            with m.State("WAIT"), m.If(~rx):
                m.d.sync += [timer.eq(self._cycles // 2 - 1), count.eq(0)]
                m.next = "START"
            with m.State("START"), m.If(timer == 0):
                m.d.sync += timer.eq(self._cycles - 1)
                m.next = "SHIFT"
                with m.If(rx):
                    m.next = "WAIT"
            with m.State("SHIFT"), m.If(timer == 0):
                m.d.sync += [
                    timer.eq(self._cycles - 1),
                    count.eq(count + 1),
                    self.data.eq(Cat(self.data[1:], rx)),
                ]
                with m.If(count == 7):
                    m.next = "STOP"
            with m.State("STOP"), m.If(timer == 0):
                m.d.sync += [self.strobe.eq(rx), self.error.eq(~rx)]
                m.next = "RELEASE"
            with m.State("RELEASE"), m.If(rx):  # a break must end before the next byte
                m.next = "WAIT"
        return m


class UartTransmitter(wiring.Component):
    """Sends bytes; takes one every ten bit times.

    Parameters
    ----------
    cycles : int
        Clock cycles a bit.

    Members
    -------
    i : In(stream of 8)
        Bytes.
    tx : Out(1)
        The line.
    """

    def __init__(self, cycles):
        if cycles < 4:
            raise ValueError(f"Cycles a bit must be at least 4, not {cycles}")
        self._cycles = cycles
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self._cycles))
        count = Signal(range(11))
        bits = Signal(9, init=0x1FF)
        m.d.comb += self.i.ready.eq(count == 0)
        with m.If(count == 0), m.If(self.i.valid):
            m.d.sync += [
                self.tx.eq(0),
                bits.eq(Cat(self.i.payload, 1)),
                count.eq(10),
                timer.eq(self._cycles - 1),
            ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                self.tx.eq(bits[0]),
                bits.eq(Cat(bits[1:], 1)),
                count.eq(count - 1),
                timer.eq(self._cycles - 1),
            ]
        return m
