"""Mean, largest or last value of each feature over a sequence."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.fixed import Format, width_for
from ..compiler.stages import PINGPONG
from ..compiler.streams import LastStep as LastStepLayer
from ..compiler.streams import Pool as PoolLayer
from .delay import delayed
from .divider import Divider
from .encoder import index_width
from .ram_style import ram_attributes
from .rescale import Rescale, shape_of
from .stream_layout import stream_of

__all__ = ["Pool", "word_of"]


def is_mean(layer):
    return isinstance(layer, PoolLayer) and layer.is_mean


def word_of(layer, format, max_steps):
    """Shape of what is kept of a feature: its largest or last value, or the sum of what its values
    are above the least one."""
    if not is_mean(layer):
        return Shape.cast(shape_of(format))
    return unsigned((max_steps * ((1 << format.width) - 1)).bit_length())


class Pool(wiring.Component):
    """Takes an element a cycle and gives one vector a sequence, while it takes the next sequence.

    A largest or last value can leave three cycles after the sequence ended, and then one a cycle;
    a mean is divided first, :attr:`latency` cycles for each. Stalls while two sequences wait to be
    read.

    Parameters
    ----------
    layer : Pool or LastStep
        What is computed. A last step is one of a stream that does not tell it from its first
        element on; see :class:`~deltaloom.hw.last_step.LastStep` for others.
    format : Format
        Of the elements.
    size : int
        Elements of a vector.
    max_steps : int
        Timesteps of the longest sequence that there is a mean of.
    target : Target
        Of the memory.

    Members
    -------
    i : In(stream of stream_of)
        Elements; ``last`` counts on a vector's last element.
    o : Out(stream of stream_of)
        Results; ``last`` on all of them.
    """

    def __init__(self, layer, format, size, max_steps, target):
        self._layer = layer
        self._format = format
        self._size = size
        self._max_steps = max_steps
        self._target = target
        self._word = word_of(layer, format, max_steps)
        result = layer.output_format([format])
        super().__init__({"i": In(stream_of(format)), "o": Out(stream_of(result))})

    @property
    def latency(self):
        """Cycles from asking for a result to having it."""
        return self._layer.latency(self._format) if is_mean(self._layer) else 1

    def elaborate(self, platform):
        m = Module()
        width = index_width(self._size)
        depth = PINGPONG << width
        m.submodules.memory = store = memory.Memory(
            shape=self._word, depth=depth, init=[], attrs=ram_attributes(depth, self._target)
        )
        write, before, read = store.write_port(), store.read_port(), store.read_port()
        held = Signal(range(3))  # sequences that are complete and not read
        there = Signal(range(3))  # those of them that are in memory
        closes, released = Signal(), Signal()

        # In the cycle after an element came: what was kept so far is there, and is written anew.
        index, into, fresh = Signal(width), Signal(), Signal(init=1)
        take = Signal()
        value = Signal.like(self.i.payload.value, name="value_at", reset_less=True)
        kept, combined = Signal(self._word), Signal(self._word)
        m.d.comb += [
            self.i.ready.eq(held != 2),
            take.eq(self.i.valid & self.i.ready),
            closes.eq(take & self.i.payload.end & self.i.payload.last),
            before.addr.eq(Cat(index, into)),
            kept.eq(before.data),
            combined.eq(self._combine(value, kept, delayed(m, fresh, 1, "alone"))),
            write.addr.eq(delayed(m, before.addr, 1, "place")),
            write.data.eq(combined),
            write.en.eq(delayed(m, take, 1, "taken", reset_less=False)),
        ]
        if self._size == 1:  # it was written in this very cycle
            latest = Signal(self._word, reset_less=True)
            m.d.comb += kept.eq(latest)
            with m.If(write.en):
                m.d.sync += latest.eq(combined)
        m.d.sync += value.eq(self.i.payload.value)
        with m.If(take):
            m.d.sync += index.eq(index + 1)
            with m.If(self.i.payload.end):
                m.d.sync += [
                    index.eq(0),
                    fresh.eq(self.i.payload.last),
                    into.eq(into ^ self.i.payload.last),
                ]
        closed = delayed(m, closes, 1, "closed", reset_less=False)
        m.d.sync += [held.eq(held + closes - released), there.eq(there + closed - released)]

        # Reading: a result at a time.
        at, source, busy = Signal(width), Signal(), Signal()
        final, issue, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            leaves.eq(self.o.valid & self.o.ready),
            final.eq(at == self._size - 1),
            issue.eq((there != 0) & (~busy | leaves)),
            released.eq(issue & final),
            read.addr.eq(Cat(at, source)),
            read.en.eq(issue),
            self.o.payload.last.eq(1),
        ]
        with m.If(leaves):
            m.d.sync += busy.eq(0)
        with m.If(issue):
            m.d.sync += [
                busy.eq(1),
                self.o.payload.end.eq(final),
                at.eq(Mux(final, 0, at + 1)),
                source.eq(source ^ final),
            ]
        if is_mean(self._layer):
            self._divide(m, (take, closes, into), (issue, source, leaves), read.data)
        else:
            m.d.comb += [self.o.valid.eq(busy), self.o.payload.value.eq(read.data)]
        return m

    def _combine(self, value, kept, alone):
        """A feature's value with what is kept of those before it, if it is not alone."""
        if isinstance(self._layer, LastStepLayer):
            return value
        if not self._layer.is_mean:
            return Mux(alone | (value > kept), value, kept)
        return Mux(alone, 0, kept) + (value - self._format.min).as_unsigned()

    def _divide(self, m, taking, reading, total):
        """From sums to means: the sums are as much too large as the least value is below zero."""
        (take, closes, into), (issue, source, leaves) = taking, reading
        shape, shift = unsigned(self._max_steps.bit_length()), self._layer.shift(self._format)
        step, steps = Signal(shape, init=1), [Signal(shape, name=f"steps{b}") for b in (0, 1)]
        with m.If(take & self.i.payload.end):
            m.d.sync += step.eq(Mux(closes, 1, step + 1))
        for bank, found in enumerate(steps):
            with m.If(closes & (into == bank)):
                m.d.sync += found.eq(step)
        divisor = Signal(shape, reset_less=True)
        with m.If(issue):
            m.d.sync += divisor.eq(Mux(source, steps[1], steps[0]))
        if shift < 0:
            numerator = (total + (divisor << (-shift - 1))) >> -shift
        else:
            numerator = (total << shift) + (divisor >> 1)
        bits = self._layer.quotient_bits(self._format)
        m.submodules.divider = divider = Divider(len(numerator), len(divisor), bits)
        least = self._format.min
        low = least << shift if shift > 0 else least >> -shift
        exact = Format(width_for(low, low + (1 << bits)), self._layer.format.frac)
        m.submodules.rescale = rescale = Rescale(exact, self._layer.format)
        m.d.comb += [
            divider.start.eq(delayed(m, issue, 1, "issued", reset_less=False)),
            divider.numerator.eq(numerator),
            divider.divisor.eq(divisor),
            rescale.i.eq(divider.quotient + Const(low)),
            self.o.payload.value.eq(rescale.o),
        ]
        with m.If(divider.done):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(leaves):
            m.d.sync += self.o.valid.eq(0)
