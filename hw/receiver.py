"""Entrance of an engine: from a stream of elements to the input's encoder."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.schedule import RECEIVER_LATENCY, pause_after
from .delay import delayed
from .encoder import index_width

__all__ = ["Receiver", "element_layout"]

LOADS = {"load": In(1), "waiting": Out(1), "loaded": Out(2), "next_buffer": Out(1)}


def element_layout(format):
    """A vector's element on a stream; ``last`` holds for the last timestep of a sequence."""
    return data.StructLayout({"value": signed(format.width), "last": 1})


class Receiver(wiring.Component):
    """Counts elements into vectors and vectors into the two lists; an element a cycle.

    Stalls while both lists are taken, and between very short vectors whose hats would otherwise be
    read before they are written.

    Parameters
    ----------
    operand : Operand
        Size and format of the vector.
    skip : Skip
        The encoder's mode.
    loads : bool
        Whether states may be loaded.

    Members
    -------
    i : In(stream of element_layout)
        Elements; ``last`` counts on a vector's last element.
    released : In(1)
        The older list has been walked for the last time.
    index_ahead, valid, index, value, fresh, buffer, last : Out
        As the encoder takes them; an element leaves :attr:`latency` cycles after it came,
        its index ahead of it at once.
    firsts, lasts : Out(2)
        For each list, whether its vector is the first or last one of a sequence.
    ending : Out(1)
        The element that is taken, or would be, is the last one of its vector.

    With ``loads``:

    load : In(1)
        The next sequence starts from states that are loaded.
    waiting : Out(1)
        So it does, and its first vector is not there yet.
    loaded : Out(2)
        For each list, whether its vector is the first one of such a sequence.
    next_buffer : Out(1)
        List of the vector that comes.
    """

    latency = RECEIVER_LATENCY

    def __init__(self, operand, skip, *, loads=False):
        self._operand = operand
        self._loads = loads
        self._pause = pause_after(operand, skip)
        width = index_width(operand.size)
        super().__init__(
            {
                "i": In(stream.Signature(element_layout(operand.format))),
                "released": In(1),
                "index_ahead": Out(width),
                "valid": Out(1),
                "index": Out(width),
                "value": Out(signed(operand.format.width)),
                "fresh": Out(1),
                "buffer": Out(1),
                "last": Out(1),
                "firsts": Out(2),
                "lasts": Out(2),
                "ending": Out(1),
                **(LOADS if loads else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        buffer, first = Signal(), Signal(init=1)
        held = Signal(range(3))  # lists that are complete and not released
        pause = Signal(range(self._pause + 1))
        take = Signal()
        m.d.comb += [
            self.i.ready.eq((held != 2) & (pause == 0)),
            take.eq(self.i.valid & self.i.ready),
            self.ending.eq(self.index_ahead == self._operand.size - 1),
        ]
        came = {
            "index": self.index_ahead,
            "value": self.i.payload.value,
            "fresh": first,
            "buffer": buffer,
            "last": self.ending,
        }
        m.d.comb += self.valid.eq(delayed(m, take, self.latency, "valid", reset_less=False))
        for name, value in came.items():
            m.d.comb += getattr(self, name).eq(delayed(m, value, self.latency, name))
        m.d.sync += held.eq(held + (take & self.ending) - self.released)
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.If(take):
            m.d.sync += self.index_ahead.eq(self.index_ahead + 1)
            with m.If(self.ending):
                m.d.sync += [
                    self.index_ahead.eq(0),
                    buffer.eq(~buffer),
                    first.eq(self.i.payload.last),
                    self.firsts.bit_select(buffer, 1).eq(first),
                    self.lasts.bit_select(buffer, 1).eq(self.i.payload.last),
                    pause.eq(self._pause),
                ]
        if self._loads:
            m.d.comb += self.next_buffer.eq(buffer)
            with m.If(self.load):
                m.d.sync += self.waiting.eq(1)
            with m.Elif(take & self.ending):
                m.d.sync += [
                    self.waiting.eq(0),
                    self.loaded.bit_select(buffer, 1).eq(self.waiting),
                ]
        return m
