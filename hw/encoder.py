"""Encoder of a vector's elements into a list of columns to multiply."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import Skip
from ..compiler.schedule import ENCODER_LATENCY
from ..compiler.stages import PINGPONG
from .delay import delayed
from .ram_style import ram_attributes

__all__ = ["Encoder", "entry_layout"]


def entry_layout(operand, skip):
    """A list entry: the element's index and what its column is multiplied with."""
    width = operand.format.width + int(skip is Skip.DELTA)
    return data.StructLayout({"index": unsigned(index_width(operand.size)), "value": signed(width)})


def index_width(size):
    return max(1, (size - 1).bit_length())


class Encoder(wiring.Component):
    """Turns elements into entries of one of two lists, as the skip mode says.

    Takes an element a cycle and never stalls. An element is listed :attr:`latency` cycles after it
    came; in ``DELTA`` mode the last value used (the hat) is kept for each index, and the same index
    must not come again within :func:`~deltaloom.compiler.schedule.spacing` cycles. A list's first
    entry is always at its start.

    Parameters
    ----------
    operand : Operand
        Size, format and threshold of the vector.
    skip : Skip
        Which elements are left out.
    target : Target
        Of the memories.
    loads : bool
        Whether vectors may come that are listed whatever the threshold.

    Members
    -------
    index_ahead : In(index)
        Index of the element that comes in two cycles.
    valid, index, value : In
        The element.
    fresh : In(1)
        The element's hat is zero: its vector is the first one of a sequence.
    listed : In(1)
        Whether the element may be listed at all; its hat is updated in any case.
    buffer : In(1)
        List to write to.
    last : In(1)
        The element ends its vector.
    wrote : Out(1)
        An entry is being written to list ``wrote_buffer``.
    closed : Out(1)
        The last entry of list ``wrote_buffer`` is being written, or would have been.
    wrote_buffer : Out(1)
        See above.
    read_buffer, read_address : In
        Entry to read.
    entry : Out(entry_layout)
        The entry, a cycle after its address.
    exact : In(1)
        With ``loads``: the element is listed unless its difference is zero.
    """

    latency = ENCODER_LATENCY

    def __init__(self, operand, skip, target, *, loads=False):
        self._operand = operand
        self._loads = loads
        self._target = target
        self._skip = skip
        index = unsigned(index_width(operand.size))
        super().__init__(
            {
                "index_ahead": In(index),
                "valid": In(1),
                "index": In(index),
                "value": In(signed(operand.format.width)),
                "fresh": In(1),
                "listed": In(1),
                "buffer": In(1),
                "last": In(1),
                "wrote": Out(1),
                "closed": Out(1),
                "wrote_buffer": Out(1),
                "read_buffer": In(1),
                "read_address": In(index),
                "entry": Out(entry_layout(operand, skip)),
                **({"exact": In(1)} if loads else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        operand, layout = self._operand, entry_layout(self._operand, self._skip)
        value_shape = layout["value"].shape

        # Cycle 1: what the column would be multiplied with. Cycle 2: whether it is.
        difference = Signal(value_shape, reset_less=True)
        value = Signal(value_shape, reset_less=True)
        keep = Signal(reset_less=True)
        index = delayed(m, self.index, 2, "index")
        valid = delayed(m, self.valid, 2, "valid", reset_less=False)
        may_list = delayed(m, self.valid & self.listed, 2, "listed", reset_less=False)
        buffer = delayed(m, self.buffer, 2, "buffer")
        last = delayed(m, self.last, 2, "last")
        m.d.sync += value.eq(difference)

        if self._skip is Skip.DELTA:
            m.submodules.hat = hat = memory.Memory(
                shape=signed(operand.format.width),
                depth=max(2, operand.size),
                init=[],
                attrs=ram_attributes(operand.size, self._target),
            )
            write, read = hat.write_port(), hat.read_port()
            m.d.comb += read.addr.eq(self.index_ahead)
            read_hat = Signal(signed(operand.format.width), reset_less=True)
            before = Signal(signed(operand.format.width))
            m.d.sync += read_hat.eq(read.data)
            with m.If(~self.fresh):
                m.d.comb += before.eq(read_hat)
            m.d.sync += difference.eq(self.value - before)
            theta = max(1, operand.theta)
            far = (difference >= theta) | (difference <= -theta)
            if self._loads:
                far |= delayed(m, self.exact, 1, "exact") & difference.any()
            m.d.sync += keep.eq(far)
            now = delayed(m, self.value, 2, "now")
            held = delayed(m, before, 2, "held")
            m.d.comb += [write.addr.eq(index), write.en.eq(valid), write.data.eq(held)]
            with m.If(keep):
                m.d.comb += write.data.eq(now)
        else:
            m.d.sync += difference.eq(self.value)
            m.d.sync += keep.eq(difference.any() if self._skip is Skip.ZERO else 1)

        depth = PINGPONG << len(self.read_address)
        m.submodules.list = entries = memory.Memory(
            shape=layout, depth=depth, init=[], attrs=ram_attributes(depth, self._target)
        )
        write, read = entries.write_port(), entries.read_port()
        place = Signal.like(self.read_address)
        m.d.comb += [
            self.wrote.eq(may_list & keep),
            self.closed.eq(may_list & last),
            self.wrote_buffer.eq(buffer),
            write.addr.eq(Cat(place, buffer)),
            write.data.index.eq(index),
            write.data.value.eq(value),
            write.en.eq(self.wrote),
            read.addr.eq(Cat(self.read_address, self.read_buffer)),
            self.entry.eq(read.data),
        ]
        with m.If(self.closed):
            m.d.sync += place.eq(0)
        with m.Elif(self.wrote):
            m.d.sync += place.eq(place + 1)
        return m
