"""Keys and values of a sequence, in a weight memory that is written at run time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .ram_style import ram_attributes
from .stream_layout import stream_of

__all__ = ["AttentionMemory"]


class AttentionMemory(wiring.Component):
    """Takes a key and then its value, an element a cycle; stalls while a sequence is complete.

    A word has an element for each lane. Those of the keys come first: word ``block * size + n``
    has element n of the keys of as many timesteps as there are lanes. Word ``key_words + block *
    max_steps + t`` has elements of timestep t's value. Sequences must be of ``max_steps``
    timesteps at most, which the entrance of the accelerator sees to.

    Parameters
    ----------
    schedule : AttentionSchedule
        Sizes, formats and lanes.

    Members
    -------
    key, value : In(stream of stream_of)
        Vectors; their sequences end together.
    forget : In(1)
        The complete sequence is not needed any more; the next one is taken from the next cycle on.
    written : Out
        Timesteps that are there.
    complete : Out(1)
        They are the whole sequence.
    address : In
        Word to read.
    data : Out(all lanes' elements)
        The word, a cycle after its address.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "key": In(stream_of(layer.key)),
                "value": In(stream_of(layer.value)),
                "forget": In(1),
                "written": Out(range(layer.max_steps + 1)),
                "complete": Out(1),
                "address": In(range(schedule.words)),
                "data": Out(schedule.lanes * schedule.element_width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, layer = self._schedule, self._schedule.layer
        lanes, width = schedule.lanes, schedule.element_width
        m.submodules.memory = store = memory.Memory(
            shape=lanes * width,
            depth=max(2, schedule.words),
            init=[],
            attrs=ram_attributes(schedule.words, schedule.target),
        )
        write, read = store.write_port(granularity=width), store.read_port()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]

        turn = Signal()  # a value is taken, and not a key
        take_key, take_value = Signal(), Signal()
        m.d.comb += [
            self.key.ready.eq(~turn & ~self.complete),
            self.value.ready.eq(turn & ~self.complete),
            take_key.eq(self.key.valid & self.key.ready),
            take_value.eq(self.value.valid & self.value.ready),
        ]

        # Where elements go: the word of the key's or value's next element, and the lane.
        lane = range(lanes)
        words = range(schedule.words + layer.max_steps)
        key_word, key_start, key_lane = Signal(words), Signal(words), Signal(lane)
        value_word, value_lane = Signal(words, init=schedule.key_words), Signal(lane)
        wraps = key_lane == lanes - 1
        with m.If(take_key):
            m.d.sync += key_word.eq(key_word + 1)
            with m.If(self.key.payload.end):
                start = Mux(wraps, key_word + 1, key_start)
                m.d.sync += [
                    turn.eq(1),
                    key_lane.eq(Mux(wraps, 0, key_lane + 1)),
                    key_start.eq(start),
                    key_word.eq(start),
                ]
        with m.If(take_value):
            m.d.sync += value_lane.eq(value_lane + 1)
            with m.If(value_lane == lanes - 1):
                m.d.sync += [value_lane.eq(0), value_word.eq(value_word + layer.max_steps)]
            with m.If(self.value.payload.end):
                m.d.sync += [
                    turn.eq(0),
                    value_lane.eq(0),
                    value_word.eq(schedule.key_words + self.written + 1),
                    self.written.eq(self.written + 1),
                    self.complete.eq(self.value.payload.last),
                ]
        with m.If(self.forget):
            m.d.sync += [
                self.complete.eq(0),
                self.written.eq(0),
                key_word.eq(0),
                key_start.eq(0),
                key_lane.eq(0),
                value_word.eq(schedule.key_words),
            ]

        # The write itself is a cycle later.
        element = Signal(width, reset_less=True)
        place, where = Signal.like(write.addr, reset_less=True), Signal(lane, reset_less=True)
        enable = Signal()
        m.d.sync += [
            enable.eq(take_key | take_value),
            element.eq(
                Mux(
                    turn,
                    self.value.payload.value.as_signed(),
                    self.key.payload.value.as_signed(),
                )
            ),
            place.eq(Mux(turn, value_word, key_word)),
            where.eq(Mux(turn, value_lane, key_lane)),
        ]
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(element.replicate(lanes)),
            write.en.eq(Mux(enable, 1 << where, 0)),
        ]
        return m
