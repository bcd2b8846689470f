"""Queues whose memory has a style."""

from amaranth.hdl import Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .ram_style import ram_attributes

__all__ = ["Queue"]


class StyledFIFO(fifo.SyncFIFOBuffered):
    """A queue, the style of its memory not left to synthesis. Its last word is a register."""

    def __init__(self, *, width, depth, target):
        super().__init__(width=width, depth=depth)
        self._target = target

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if self.depth > 1:
            m.submodules.storage.attrs.update(ram_attributes(self.depth, self._target))
        return m


class Queue(wiring.Component):
    """Takes and gives an element a cycle; two cycles from end to end.

    Parameters
    ----------
    layout : ShapeLike
        Of the elements.
    depth : int
        Elements that it holds.
    target : Target
        Of the memory.

    Members
    -------
    i, o : In, Out(stream of layout)
        Elements.
    """

    def __init__(self, layout, depth, target):
        self._depth = depth
        self._target = target
        signature = stream.Signature(layout)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = queue = StyledFIFO(
            width=self.i.payload.shape().size, depth=self._depth, target=self._target
        )
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m
