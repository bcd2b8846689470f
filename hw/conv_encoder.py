"""Encoder of frames: a list of columns to multiply, and where each pixel's entries end."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.stages import PINGPONG
from .delay import delayed
from .encoder import Encoder, index_width
from .ram_style import ram_attributes

__all__ = ["FrameEncoder", "ends_depth", "ends_width"]

PASSED = ("index_ahead", "valid", "index", "value", "fresh", "listed", "buffer", "last")


def ends_width(operand):
    """Bits of a number of entries."""
    return operand.size.bit_length()


def ends_depth(operand):
    """Words of the memory of list ends: a pixel of two frames each."""
    return PINGPONG << index_width(operand.convolution.frame)


class FrameEncoder(wiring.Component):
    """Turns the elements of frames into entries; an element a cycle, never stalls.

    Parameters
    ----------
    operand : Operand
        A frame.
    skip : Skip
        Which elements are left out.
    target : Target
        Of the memories.
    loads, initial
        As of the encoder.

    Members
    -------
    index_ahead, valid, index, value, fresh, listed, buffer, last, exact : In
        As :class:`~deltaloom.hw.encoder.Encoder` takes them.
    wrote : Out(1)
        An entry is being written.
    closed, closed_buffer : Out(1)
        List ``closed_buffer`` is complete after this cycle.
    pixel : Out(1)
        Of list ``closed_buffer``, one pixel more is complete after this cycle.
    read_buffer, read_address, entry
        As of the encoder.
    span_buffer, first, behind : In
        First pixel of a span and the pixel behind its last.
    start, end : Out
        The span's first entry and the one behind its last, a cycle later.
    """

    def __init__(self, operand, skip, target, *, loads=False, initial=None):
        self._operand, self._skip, self._target = operand, skip, target
        self._pixel = unsigned(index_width(operand.convolution.frame))
        index = unsigned(index_width(operand.size))
        place = unsigned(operand.convolution.frame.bit_length())
        inner = Encoder(operand, skip, target, loads=loads, initial=initial)
        self._passed = [*PASSED, "exact"] if loads else PASSED
        super().__init__(
            {
                **{
                    name: In(getattr(inner, name).shape())
                    for name in (*self._passed, "read_buffer")
                },
                "read_address": In(index),
                "entry": Out(inner.entry.shape()),
                "wrote": Out(1),
                "closed": Out(1),
                "closed_buffer": Out(1),
                "pixel": Out(1),
                "span_buffer": In(1),
                "first": In(place),
                "behind": In(place),
                "start": Out(ends_width(operand)),
                "end": Out(ends_width(operand)),
            }
        )
        self._inner = inner

    def elaborate(self, platform):
        m = Module()
        operand = self._operand
        m.submodules.encoder = encoder = self._inner
        for name in self._passed:
            m.d.comb += getattr(encoder, name).eq(getattr(self, name))
        m.d.comb += [
            encoder.read_buffer.eq(self.read_buffer),
            encoder.read_address.eq(self.read_address),
            self.entry.eq(encoder.entry),
            self.wrote.eq(encoder.wrote),
            self.closed.eq(encoder.closed),
            self.closed_buffer.eq(encoder.wrote_buffer),
        ]

        # Elements come in order: what ends a pixel is counted.
        channel = Signal(range(operand.channels))
        over = Signal()
        m.d.comb += over.eq(channel == operand.channels - 1)
        with m.If(self.valid):
            m.d.sync += channel.eq(Mux(over, 0, channel + 1))
        ends = self.valid & self.listed & over
        m.d.comb += self.pixel.eq(delayed(m, ends, encoder.latency - 1, "ends", reset_less=False))
        pixel, count = Signal(self._pixel), Signal(ends_width(operand))
        after = Signal.like(count)
        m.d.comb += after.eq(count + encoder.wrote)
        m.d.sync += count.eq(after)
        with m.If(self.pixel):
            m.d.sync += pixel.eq(pixel + 1)
        with m.If(self.closed):
            m.d.sync += [count.eq(0), pixel.eq(0)]

        for name, behind, result in (
            ("starts", self.first, self.start),
            ("ends", self.behind, self.end),
        ):
            depth = ends_depth(operand)
            m.submodules[name] = stored = memory.Memory(
                shape=unsigned(ends_width(operand)),
                depth=depth,
                init=[],
                attrs=ram_attributes(depth, self._target),
            )
            write, read = stored.write_port(), stored.read_port()
            before = Signal(self._pixel, name=f"{name}_pixel")
            m.d.comb += [
                write.addr.eq(Cat(pixel, self.closed_buffer)),
                write.data.eq(after),
                write.en.eq(self.pixel),
                before.eq(behind - 1),
                read.addr.eq(Cat(before, self.span_buffer)),
                result.eq(read.data),
            ]
            nothing = delayed(m, behind == 0, 1, f"{name}_nothing")
            with m.If(nothing):
                m.d.comb += result.eq(0)
        return m
