"""Encoder of a vector's elements into a list of columns to multiply."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import Skip
from ..compiler.schedule import ENCODER_LATENCY
from ..compiler.stages import PINGPONG
from .delay import delayed
from .ram_style import ram_attributes
from .rom import read_rom
from .selection import Selection, candidate_layout

__all__ = ["Encoder", "entry_layout"]


def entry_layout(operand, skip):
    """A list entry: the element's index and what its column is multiplied with."""
    width = operand.format.width + int(skip.differs)
    return data.StructLayout({"index": unsigned(index_width(operand.size)), "value": signed(width)})


def index_width(size):
    return max(1, (size - 1).bit_length())


class Encoder(wiring.Component):
    """Turns elements into entries of one of two lists, as the skip mode says.

    Takes an element a cycle and never stalls. An element is listed :attr:`latency` cycles after it
    came; in ``DELTA`` mode the last value used (the hat) is kept for each index, and the same index
    must not come again within :func:`~deltaloom.compiler.schedule.spacing` cycles. A list's first
    entry is always at its start.

    In ``TOP_K`` mode elements come in the order of their indices. Those that are selected are
    listed behind the last one, a cycle each, the largest difference first; until then no other may
    come (:func:`~deltaloom.compiler.schedule.pause_after`). Behind a vector that is not listed,
    one that is fresh comes.

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
    initial : array of int, optional
        Hats (size,) before a sequence; left out, zero. Whatever the threshold and what is loaded,
        sums start with their products.

    Members
    -------
    index_ahead : In(index)
        Index of the element that comes in two cycles.
    valid, index, value : In
        The element.
    fresh : In(1)
        The element's hat is what it is before a sequence: its vector is the first one.
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
        With ``loads``: it is listed unless it is zero; its hat, if it is fresh, is zero.
    """

    latency = ENCODER_LATENCY

    def __init__(self, operand, skip, target, *, loads=False, initial=None):
        self._operand = operand
        self._initial = initial
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

        # Cycle 1: what the column would be multiplied with. Cycle 2: whether it is.
        difference = Signal(layout["value"].shape, reset_less=True)
        before = self._read_hat(m) if self._skip.differs else 0
        m.d.sync += difference.eq(self.value - before)
        depth = PINGPONG << len(self.read_address)
        m.submodules.list = entries = memory.Memory(
            shape=layout, depth=depth, init=[], attrs=ram_attributes(depth, self._target)
        )
        write, read = entries.write_port(), entries.read_port()
        if operand.selected:
            self._select(m, difference, write.data)
        else:
            self._choose(m, difference, before, write.data)
        place = Signal.like(self.read_address)
        m.d.comb += [
            write.addr.eq(Cat(place, self.wrote_buffer)),
            write.en.eq(self.wrote),
            read.addr.eq(Cat(self.read_address, self.read_buffer)),
            self.entry.eq(read.data),
        ]
        with m.If(self.closed):
            m.d.sync += place.eq(0)
        with m.Elif(self.wrote):
            m.d.sync += place.eq(place + 1)
        return m

    def _read_hat(self, m):
        """The value that was used last, in the cycle of the element."""
        operand = self._operand
        m.submodules.hat = hat = memory.Memory(
            shape=signed(operand.format.width),
            depth=max(2, operand.size),
            init=[],
            attrs=ram_attributes(operand.size, self._target),
        )
        self._write, read = hat.write_port(), hat.read_port()
        m.d.comb += read.addr.eq(self.index_ahead)
        read_hat = Signal(signed(operand.format.width), reset_less=True)
        before = Signal(signed(operand.format.width))
        m.d.sync += read_hat.eq(read.data)
        if self._initial is not None:
            shape, values = signed(operand.format.width), self._initial
            initial = read_rom(m, "initial", shape, values, self.index_ahead, self._target)
        with m.If(~self.fresh):
            m.d.comb += before.eq(read_hat)
        if self._initial is not None:
            with m.Elif(~self.exact if self._loads else 1):
                m.d.comb += before.eq(initial)
        return before

    def _choose(self, m, difference, before, entry):
        """List elements as they come."""
        keep, value = Signal(reset_less=True), Signal.like(difference, reset_less=True)
        index = delayed(m, self.index, 2, "index")
        may_list = delayed(m, self.valid & self.listed, 2, "listed", reset_less=False)
        m.d.sync += value.eq(difference)
        match self._skip:
            case Skip.DELTA:
                theta = max(1, self._operand.theta)
                far = (difference >= theta) | (difference <= -theta)
                if self._loads:
                    far |= delayed(m, self.exact, 1, "exact") & difference.any()
                m.d.sync += keep.eq(far)
            case Skip.ZERO:
                m.d.sync += keep.eq(difference.any())
            case Skip.TOP_K if self._loads:
                m.d.sync += keep.eq(~delayed(m, self.exact, 1, "exact") | difference.any())
            case _:
                m.d.sync += keep.eq(1)
        if self._skip.differs:
            write = self._write
            valid = delayed(m, self.valid, 2, "valid", reset_less=False)
            now = delayed(m, self.value, 2, "now")
            held = delayed(m, before, 2, "held")
            m.d.comb += [write.addr.eq(index), write.en.eq(valid), write.data.eq(held)]
            with m.If(keep):
                m.d.comb += write.data.eq(now)
        m.d.comb += [
            self.wrote.eq(may_list & keep),
            self.closed.eq(may_list & delayed(m, self.last, 2, "last")),
            self.wrote_buffer.eq(delayed(m, self.buffer, 2, "buffer")),
            entry.index.eq(index),
            entry.value.eq(value),
        ]

    def _select(self, m, difference, entry):
        """List the elements that differ most, behind the last one; exact ones as they come.

        Hats of a sequence's first vector are made zero while it comes.
        """
        layout = candidate_layout(self._operand.format, len(self.index))
        m.submodules.selection = selection = Selection(layout, self._operand.selected)
        chosen, write = selection.chosen, self._write
        valid = delayed(m, self.valid, 2, "valid", reset_less=False)
        last, index = delayed(m, self.last, 2, "last"), delayed(m, self.index, 2, "index")
        negative, magnitude = Signal(reset_less=True), Signal.like(chosen.magnitude)
        m.d.sync += [
            negative.eq(difference < 0),
            magnitude.eq(Mux(difference < 0, -difference, difference)),
        ]
        m.d.comb += [
            selection.valid.eq(valid),
            selection.first.eq(delayed(m, self.index == 0, 2, "first")),
            selection.last.eq(last),
            selection.drop.eq(~delayed(m, self.listed, 2, "listed")),
            selection.candidate.magnitude.eq(magnitude),
            selection.candidate.negative.eq(negative),
            selection.candidate.value.eq(delayed(m, self.value, 2, "now")),
            selection.candidate.index.eq(index),
            self.wrote.eq(selection.leaving),
            self.closed.eq(selection.ending),
            entry.index.eq(chosen.index),
            entry.value.eq(Mux(chosen.negative, -chosen.magnitude, chosen.magnitude)),
            write.addr.eq(index),
            write.en.eq(valid & delayed(m, self.fresh, 2, "fresh")),
        ]
        with m.If(selection.leaving):
            m.d.comb += [
                write.addr.eq(chosen.index),
                write.data.eq(chosen.value),
                write.en.eq(1),
            ]
        buffer, selected_buffer = delayed(m, self.buffer, 2, "buffer"), Signal()
        with m.If(valid & last):
            m.d.sync += selected_buffer.eq(buffer)
        m.d.comb += self.wrote_buffer.eq(selected_buffer)
        if self._loads:
            with m.If(valid & delayed(m, self.exact, 2, "exact")):
                m.d.comb += [
                    selection.valid.eq(0),
                    self.wrote.eq(magnitude.any()),
                    self.closed.eq(last),
                    self.wrote_buffer.eq(buffer),
                    entry.index.eq(index),
                    entry.value.eq(selection.candidate.value),
                    write.data.eq(selection.candidate.value),
                ]
