"""Softmax: from scores to weights relative to the largest, and the reciprocal of their sum."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import Operand, Skip
from .delay import delayed
from .encoder import Encoder, entry_layout, index_width
from .inverse import Inverse
from .multiplier import Multiplier
from .pwl import Activation
from .ram_style import ram_attributes
from .rescale import Rescale, shape_of

__all__ = ["Softmax", "weight_operand"]


def weight_operand(layer):
    """The weights as an operand of products, and what is skipped of them."""
    operand = Operand("p", 0, 0, layer.max_steps, layer.weight, 0)
    return operand, Skip.ZERO if layer.skips_zeros else Skip.NONE


class Softmax(wiring.Component):
    """Stores scores while it looks for the largest; after the last one it lists their weights.

    Takes a score a cycle and lists a weight a cycle; never stalls. A score's address is one cycle
    after the last score for the first one, and so on.

    Parameters
    ----------
    schedule : AttentionSchedule
        Formats, tables, sizes.

    Members
    -------
    valid, score, last : In
        A score, and whether it is the last one.
    wrote, closed : Out(1)
        A weight is being listed; the last one is, or would be.
    address : In
        Entry to read from the list of weights.
    entry : Out(entry_layout)
        The entry, a cycle after its address.
    reciprocal : Out
        Of the sum of weights, once it is known; until the next last score.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        self._operand, self._skip = weight_operand(layer)
        super().__init__(
            {
                "valid": In(1),
                "score": In(shape_of(layer.score)),
                "last": In(1),
                "wrote": Out(1),
                "closed": Out(1),
                "address": In(index_width(layer.max_steps)),
                "entry": Out(entry_layout(self._operand, self._skip)),
                "reciprocal": Out(shape_of(layer.inverse.target)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, layer = self._schedule, self._schedule.layer
        steps = layer.max_steps
        m.submodules.scores = scores = memory.Memory(
            shape=shape_of(layer.score),
            depth=max(2, steps),
            init=[],
            attrs=ram_attributes(steps, schedule.target),
        )
        write, read = scores.write_port(), scores.read_port()

        # The first pass: scores come, and the largest one of them is kept.
        place, count = Signal(range(steps)), Signal(range(steps + 1))
        largest = Signal(shape_of(layer.score), reset_less=True)
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(self.score),
            write.en.eq(self.valid),
        ]
        with m.If(self.valid):
            m.d.sync += place.eq(Mux(self.last, 0, place + 1))
            with m.If((place == 0) | (self.score > largest)):
                m.d.sync += largest.eq(self.score)

        # The second one: each score's distance from it is scaled and looked up.
        running, at, first, ending = Signal(), Signal(range(steps)), Signal(), Signal()
        m.d.comb += ending.eq(at + 1 == count)
        with m.If(self.valid & self.last):
            m.d.sync += [running.eq(1), at.eq(0), first.eq(1), count.eq(place + 1)]
        with m.Elif(running):
            m.d.sync += [at.eq(at + 1), first.eq(0), running.eq(~ending)]
        m.d.comb += read.addr.eq(at)
        difference = Signal(shape_of(layer.difference), reset_less=True)
        m.d.sync += difference.eq(largest - read.data)
        weight = self._exponential(m, difference)
        cycles = schedule.weight_latency
        valid = delayed(m, running, cycles, "weight_valid", reset_less=False)
        final = delayed(m, ending, cycles, "weight_final")
        fresh = delayed(m, first, cycles, "weight_first")
        index = delayed(m, at, cycles, "weight_index")

        m.submodules.encoder = encoder = Encoder(self._operand, self._skip, schedule.target)
        total = Signal(shape_of(layer.total), reset_less=True)
        m.submodules.inverse = inverse = Inverse(layer.inverse)
        with m.If(valid):
            m.d.sync += total.eq(Mux(fresh, 0, total) + weight)
        m.d.comb += [
            encoder.valid.eq(valid),
            encoder.listed.eq(1),
            encoder.index.eq(index),
            encoder.value.eq(weight),
            encoder.last.eq(final),
            encoder.read_address.eq(self.address),
            self.wrote.eq(encoder.wrote),
            self.closed.eq(encoder.closed),
            self.entry.eq(encoder.entry),
            inverse.i.eq(total),
            self.reciprocal.eq(inverse.o),
        ]
        return m

    def _exponential(self, m, difference):
        """The weight of a distance from the largest score."""
        layer = self._schedule.layer
        table = layer.tables["exp"]
        m.submodules.near = near = Rescale(layer.difference, layer.reach)
        m.submodules.scale = scale = Multiplier(
            layer.reach.width, layer.multiplier.bit_length() + 1
        )
        m.submodules.code = code = Rescale(layer.scaled, layer.exponents)
        m.submodules.exponential = exponential = Activation(table)
        m.d.comb += [
            near.i.eq(difference),
            scale.a.eq(near.o),
            scale.b.eq(layer.multiplier),
            code.i.eq(scale.p),
            # Half of the range less: the other half is below zero.
            exponential.i.eq(code.o + table.source.min),
        ]
        return exponential.o
