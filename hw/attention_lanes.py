"""The lanes of attention: products with elements of keys and values."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .encoder import index_width
from .lanes import Lane
from .multiplier import Multiplier
from .pwl import Activation
from .rescale import Rescale, shape_of

__all__ = ["AttentionLanes"]


class AttentionLanes(wiring.Component):
    """Accumulates products of an entry with the elements of a word; one a cycle, never stalls.

    Scores are products of a query's and the keys' elements, or in the form ``additive`` those of
    the energies with tanh(query + key), which takes ``hidden_latency`` cycles longer. Scores and
    weighted sums share the multipliers; entries of one kind must be that much apart from the
    other's.

    Parameters
    ----------
    schedule : AttentionSchedule
        Lanes, formats, tables.

    Members
    -------
    query, index, weight : In
        An entry's value: of a query, with its index, or of the weights.
    score, context, real, start : In(1)
        With it: see :func:`~deltaloom.hw.attention_sequencer.token_layout`.
    word : In(all lanes' elements)
        Two cycles later: elements of keys or values.
    sums : Out(accumulators)
        Three cycles after that; scores ``hidden_latency`` cycles later still.
    """

    latency = 2 + Multiplier.latency + Lane.latency

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "query": In(shape_of(layer.query)),
                "index": In(index_width(layer.size)),
                "weight": In(shape_of(layer.weight)),
                "score": In(1),
                "context": In(1),
                "real": In(1),
                "start": In(1),
                "word": In(schedule.lanes * schedule.element_width),
                "sums": Out(schedule.lanes * schedule.accumulator_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, later = self._schedule, self._schedule.hidden_latency
        width, product_time = schedule.element_width, 2 + Multiplier.latency
        factor, elements, factor_width = self._factors(m)
        score = delayed(m, self.score, product_time + later, "score", reset_less=False)
        context = delayed(m, self.context, product_time, "context", reset_less=False)
        score_start = delayed(m, self.start, product_time + later, "score_start")
        start = Mux(context, delayed(m, self.start, product_time, "start"), score_start)
        sums = []
        for number, (element, element_width) in enumerate(elements):
            m.submodules[f"multiplier_{number}"] = multiplier = Multiplier(
                element_width, factor_width, block=schedule.target.lane_multipliers
            )
            lane = Lane(len(multiplier.p), schedule.accumulator_width, 1)
            m.submodules[f"lane_{number}"] = lane
            m.d.comb += [
                multiplier.a.eq(element),
                multiplier.b.eq(factor),
                lane.product.eq(multiplier.p),
                lane.valid.eq(score | context),
                lane.zero.eq(start),
            ]
            sums.append(lane.sums)
        m.d.comb += self.sums.eq(Cat(sums))
        assert len(self.word) == width * schedule.lanes
        return m

    def _factors(self, m):
        """The entry's factor, and each lane's with its width, as the multipliers take them."""
        layer, schedule = self._schedule.layer, self._schedule
        words = [
            self.word.word_select(number, schedule.element_width).as_signed()
            for number in range(schedule.lanes)
        ]
        if layer.form == "dot":
            width = max(layer.query.width, layer.weight.width)
            factor = Signal(signed(width), name="factor_0", reset_less=True)
            m.d.sync += factor.eq(Mux(self.context, self.weight, Mux(self.real, self.query, 0)))
            factor = delayed(m, factor, 1, "factor").as_signed()
            return factor, [(word, schedule.element_width) for word in words], width

        # Elements of a value meet their weight at once, hidden ones their energy later.
        context = delayed(m, self.context, 2, "weighs")
        query = delayed(m, self.query, 3, "query").as_signed()
        weight = delayed(m, self.weight, 2, "weight").as_signed()
        frac = layer.hidden_sum.frac
        tanh = layer.tables["tanh"]
        elements = []
        width = max(schedule.element_width, layer.hidden.width)
        for number, word in enumerate(words):
            key = Signal(signed(schedule.element_width), name=f"key_{number}", reset_less=True)
            total = Signal(shape_of(layer.hidden_sum), name=f"total_{number}")
            m.submodules[f"argument_{number}"] = argument = Rescale(layer.hidden_sum, tanh.source)
            m.submodules[f"tanh_{number}"] = lookup = Activation(tanh)
            m.d.sync += key.eq(word)
            m.d.comb += [
                total.eq((query << frac - layer.query.frac) + (key << frac - layer.key.frac)),
                argument.i.eq(total),
                lookup.i.eq(argument.o),
            ]
            elements.append((Mux(context, word, lookup.o), width))
        energy = self._energy(m, 2 + schedule.hidden_latency)
        factor = Mux(context, weight, energy)
        return factor, elements, max(layer.weight.width, layer.energy.width)

    def _energy(self, m, cycles):
        """The energy of the entry's index, so many cycles later."""
        layer = self._schedule.layer
        held = delayed(m, self.index, cycles - 1, "energy_index")
        shape = shape_of(layer.energy)
        energy = Signal(shape, name="energy", reset_less=True)
        constants = Array(Const(value, shape) for value in layer.energies.tolist())
        m.d.sync += energy.eq(constants[held])
        return energy
