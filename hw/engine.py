"""The engine: one recurrent layer on its lanes."""

from dataclasses import replace

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.graph import State
from ..compiler.schedule import ENTRY_LATENCY, LayerSchedule
from .constants import constant_of
from .delay import delayed
from .encoder import Encoder
from .engine_registers import add_store, connect_registers, register_members
from .initial_sums import initial_operand, initial_words
from .lanes import Lanes
from .queue import Queue
from .ram_style import ram_attributes
from .receiver import Receiver, element_layout
from .rescale import Rescale
from .rom import read_rom
from .sequencer import Sequencer
from .stage_pipelines import connect_crossing, connect_gates
from .stream_layout import stream_of
from .weights import weight_memory

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Computes a layer, timestep after timestep and sequence after sequence.

    Takes and gives an element a cycle. Only the sequencer waits: for the input, for the list that
    a stage awaits, and for room downstream. All stages share the lanes, the weight memory and the
    kept sums; each has its own drain and gate pipeline.

    Parameters
    ----------
    schedule : LayerSchedule
        The layer and how it is folded.

    Members
    -------
    i : In(stream of element_layout)
        Elements of the input vectors.
    o : Out(stream of stream_of)
        Elements of the output vectors.

    With registers:

    settled : Out(1)
        No timestep is being computed: the states of the last one are there.
    step : Out(1)
        A timestep's input is complete.
    kept : Out(operands)
        A column of each operand is listed.
    cut : Out(counts)
        How many values formats cut off, and how many of each state's next values: of the states
        that :func:`~deltaloom.compiler.saturation.saturating_states` names.

    With states besides:

    index, write, data, load, done : In, In, In, In, Out
        As of :class:`~deltaloom.hw.state_store.StateStore`.
    waiting : Out(1)
        Loaded states wait for the first timestep of a sequence.
    state_<name> : Out
        The element of each state that the index names, a cycle later.
    """

    def __init__(self, schedule):
        if not isinstance(schedule, LayerSchedule):
            raise TypeError(f"Schedule must be a LayerSchedule, not {schedule!r}")
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "i": In(stream.Signature(element_layout(layer.input_format))),
                "o": Out(stream_of(layer.output_format)),
                **register_members(schedule),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, layer = self._schedule, self._schedule.layer
        m.submodules.sequencer = sequencer = Sequencer(schedule)
        store = add_store(m, self, schedule)
        encoders = [self._connect_input(m, sequencer)]
        for operand in layer.operands[1:]:
            encoder = Encoder(
                operand,
                layer.skip,
                schedule.target,
                loads=schedule.loads,
                initial=initial_operand(layer, operand),
            )
            m.submodules[f"{operand.name}_encoder"] = encoder
            encoders.append(encoder)
        tokens = self._delay_token(m, sequencer.token)
        lanes = self._connect_lanes(m, encoders, tokens)
        gates = connect_gates(m, schedule, lanes, tokens[ENTRY_LATENCY], self.i)
        for stage, pipeline in zip(schedule.pipelines, gates, strict=True):
            if stage.given is not None:
                self._connect_operand(m, stage, pipeline, encoders[stage.given])
            for crossing in stage.stage.crossings:
                connect_crossing(m, schedule, crossing, gates, store)
        for encoder in encoders:
            address = sequencer.h_address if encoder is not encoders[0] else sequencer.x_address
            m.d.comb += [
                encoder.read_address.eq(address),
                encoder.read_buffer.eq(sequencer.token.buffer),
            ]
        if encoders[1:]:
            m.d.comb += [
                sequencer.h_wrote.eq(Cat(encoder.wrote for encoder in encoders[1:])),
                sequencer.h_closed.eq(Cat(encoder.closed for encoder in encoders[1:])),
                sequencer.h_buffer.eq(Cat(encoder.wrote_buffer for encoder in encoders[1:])),
            ]
        self._connect_output(m, gates, sequencer)
        connect_registers(
            m, self, schedule, store, self._receiver, gates, encoders, self._input_cuts
        )
        return m

    def _connect_input(self, m, sequencer):
        """From the stream to the input's encoder, which is returned."""
        layer = self._schedule.layer
        operand = layer.operands[0]
        m.submodules.receiver = receiver = self._receiver = Receiver(
            replace(operand, format=layer.input_format), layer.skip, loads=self._schedule.loads
        )
        if self._schedule.loads:
            m.d.comb += sequencer.x_loaded.eq(receiver.loaded)
        m.submodules.x_encoder = encoder = Encoder(operand, layer.skip, self._schedule.target)
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        names = ["index_ahead", "index", "fresh", "buffer", "last"]
        value, rounding = receiver.value, int(operand.node != operand.source)
        if rounding:
            m.submodules.x_rounded = narrow = Rescale(
                layer.input_format, operand.format, counts=self._schedule.registers
            )
            m.d.comb += narrow.i.eq(receiver.value)
            value = narrow.o
        valid = delayed(m, receiver.valid, rounding, "x_valid", reset_less=False)
        self._input_cuts = [narrow.cut & valid] if rounding and self._schedule.registers else []
        for name in names:
            held = delayed(m, getattr(receiver, name), rounding, f"x_{name}")
            m.d.comb += getattr(encoder, name).eq(held)
        m.d.comb += [
            receiver.released.eq(sequencer.released),
            encoder.value.eq(value),
            encoder.valid.eq(valid),
            encoder.listed.eq(1),
            sequencer.x_first.eq(receiver.firsts),
            sequencer.x_last.eq(receiver.lasts),
            sequencer.x_wrote.eq(encoder.wrote),
            sequencer.x_closed.eq(encoder.closed),
            sequencer.x_buffer.eq(encoder.wrote_buffer),
        ]
        return encoder

    def _connect_operand(self, m, schedule, gates, encoder):
        """From the gate pipeline that gives a matrix-vector operand to its encoder.

        A state is listed for the next timestep, unless the sequence ends.
        """
        time, operand = schedule.operand_time, schedule.layer.operands[schedule.given]
        fresh, last, buffer = (gates.flags_at[time][bit] for bit in range(3))
        state = isinstance(schedule.layer.graph.nodes[operand.source], State)
        m.d.comb += [
            encoder.index_ahead.eq(gates.unit_two_before(time)),
            encoder.valid.eq(gates.valid_at[time]),
            encoder.index.eq(gates.unit_at[time]),
            encoder.value.eq(gates.operand),
            encoder.fresh.eq(fresh),
            encoder.listed.eq(~last if state else 1),
            encoder.buffer.eq(~buffer if state else buffer),
            encoder.last.eq(gates.unit_at[time] == schedule.size - 1),
        ]

    def _delay_token(self, m, token):
        """The token of each cycle since it was issued."""
        tokens = [token]
        for cycle in range(1, ENTRY_LATENCY + 1):
            register = Signal(token.shape(), name=f"token_{cycle}")
            m.d.sync += register.eq(tokens[-1])
            tokens.append(register)
        return tokens

    def _connect_lanes(self, m, encoders, tokens):
        """List entries (cycle 1), their columns (3, 4), products (6) and sums (7)."""
        schedule, layer = self._schedule, self._schedule.layer
        entries = []
        for operand, encoder in zip(layer.operands, encoders, strict=True):
            name = f"{operand.name}_entry"
            entry = Signal(encoder.entry.shape(), name=name, reset_less=True)
            m.d.sync += entry.eq(encoder.entry)
            entries.append(entry)
        column, awaited = self._choose_entry(entries, tokens[2])
        m.submodules.weights = weights = weight_memory(schedule)
        read = weights.read_port()
        address = Signal.like(read.addr, reset_less=True)
        m.d.sync += address.eq(tokens[2].base + column)

        m.submodules.lanes = lanes = Lanes(schedule)
        m.d.comb += [
            read.addr.eq(address),
            lanes.x_value.eq(entries[0].value),
            lanes.h_value.eq(awaited),
            lanes.real.eq(tokens[2].real),
            lanes.state.eq(tokens[2].state),
            lanes.fold.eq(tokens[2].fold),
            lanes.weights.eq(read.data),
            lanes.valid.eq(tokens[6].valid),
            lanes.zero.eq(tokens[6].zero),
            lanes.load.eq(tokens[6].load),
            lanes.product_state.eq(tokens[6].state),
            lanes.product_fold.eq(tokens[6].fold),
        ]
        if schedule.keeps_sums:
            m.submodules.kept = kept = memory.Memory(
                shape=len(lanes.sums),
                depth=max(2, schedule.slots),
                init=[],
                attrs=ram_attributes(schedule.slots, schedule.target),
            )
            load, store = kept.read_port(), kept.write_port()
            m.d.comb += [
                load.addr.eq(self._slot(tokens[5])),
                lanes.kept.eq(load.data),
                store.addr.eq(self._slot(tokens[7])),
                store.data.eq(lanes.sums),
                store.en.eq(tokens[7].store),
            ]
        if schedule.starts_from_sums:
            shape, words, target = len(lanes.sums), initial_words(schedule), schedule.target
            slot = self._slot(tokens[4])
            initial = read_rom(m, "initial_sums", shape, words, slot, target)
            with m.If(tokens[6].initial):
                m.d.comb += lanes.kept.eq(initial)
        return lanes

    def _choose_entry(self, entries, token):
        """The column of the entry that a token stands for, and its value if it is no input's."""
        x, layer = entries[0], self._schedule.layer
        if not entries[1:]:
            return x.index, x.value
        stages = [stage.stage for stage in self._schedule.stages]
        walked = [entries[stage.awaited or 0] for stage in stages]
        starts = [layer.operands[0].size if stage.walks_input else 0 for stage in stages]
        after = Array(entry.index for entry in walked)[token.stage]
        column = Mux(token.state, after + constant_of(starts, token.stage), x.index)
        return column, Array(entry.value for entry in walked)[token.stage]

    def _slot(self, token):
        """Where a pass keeps its sums."""
        return token.number

    def _connect_output(self, m, pipelines, sequencer):
        schedule, gates = next(
            (stage, gates)
            for stage, gates in zip(self._schedule.pipelines, pipelines, strict=True)
            if stage.gives_output
        )
        time = schedule.output_time
        m.submodules.queue = queue = Queue(
            self.o.payload.shape(), self._schedule.output.output_depth, self._schedule.target
        )
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        m.d.comb += [
            queue.i.payload.value.eq(gates.output),
            queue.i.payload.last.eq(gates.flags_at[time][1]),
            queue.i.payload.end.eq(gates.unit_at[time] == schedule.size - 1),
            queue.i.valid.eq(gates.valid_at[time]),
            sequencer.popped.eq(self.o.valid & self.o.ready),
        ]
