"""Entrance of an accelerator that takes pairs of sequences: sends each to its input."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .entrance import Entrance
from .stream_layout import stream_of

__all__ = ["PairEntrance"]


class PairEntrance(wiring.Component):
    """Takes sequences for its inputs in turn, each by the rules of :class:`Entrance`; no delay.

    A sequence that is cut has ended: what follows it is one of the next input.

    Parameters
    ----------
    inputs : sequence of NetworkInput
        In the order in which a sequence of each comes.
    width : int
        Bits of the elements that come.

    Members
    -------
    i : In(stream of value and last)
        Elements; ``last`` on the last one of a sequence.
    o_... : Out(stream of stream_of)
        By name of the input: its elements, marked.
    error : Out(1)
        The element that is taken in this cycle breaks a rule.
    """

    def __init__(self, inputs, width):
        self._inputs = tuple(inputs)
        element = data.StructLayout({"value": signed(width), "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(element)),
                **{f"o_{taken.name}": Out(stream_of(taken.format)) for taken in self._inputs},
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        turn = Signal(range(len(self._inputs)))
        for place, taken in enumerate(self._inputs):
            entrance = Entrance(taken.format, taken.size, taken.max_steps)
            m.submodules[taken.name] = entrance
            wiring.connect(m, entrance.o, wiring.flipped(getattr(self, f"o_{taken.name}")))
            m.d.comb += [
                entrance.i.payload.value.eq(self.i.payload.value),
                entrance.i.payload.last.eq(self.i.payload.last),
            ]
            with m.If(turn == place):
                m.d.comb += [
                    entrance.i.valid.eq(self.i.valid),
                    self.i.ready.eq(entrance.i.ready),
                    self.error.eq(entrance.error),
                ]
                with m.If(self.i.valid & self.i.ready & entrance.o.payload.last):
                    m.d.sync += turn.eq((place + 1) % len(self._inputs))
        return m
