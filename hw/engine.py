"""The engine: one recurrent layer on its lanes."""

from dataclasses import replace
from itertools import pairwise

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.graph import State
from ..compiler.schedule import ENTRY_LATENCY, LayerSchedule
from .constants import constant_of
from .delay import delayed
from .drain import Drain
from .encoder import Encoder
from .gates import GatePipeline
from .initial_sums import initial_operand, initial_words
from .lanes import Lanes
from .queue import Queue
from .ram_style import ram_attributes
from .receiver import Receiver, element_layout
from .rescale import Rescale, shape_of
from .rom import read_rom
from .sequencer import Sequencer
from .state_store import StateStore
from .stream_layout import stream_of
from .vector_pass import VectorPass
from .weights import weight_memory

__all__ = ["Engine"]


def register_members(schedule):
    """Members by which the register block sees an engine."""
    if not schedule.registers:
        return {}
    layer = schedule.layer
    members = {"settled": Out(1), "step": Out(1), "kept": Out(len(layer.operands))}
    if schedule.loads:
        states = [state for _, state in layer.graph.of(State)]
        members |= {
            "index": In(range(schedule.load_size)),
            "write": In(len(states)),
            "data": In(signed(32)),
            "load": In(1),
            "done": Out(1),
            "waiting": Out(1),
        }
        members |= {f"state_{state.name}": Out(shape_of(state.format)) for state in states}
    return members


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
        self._add_store(m)
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
        gates = self._connect_gates(m, lanes, tokens[ENTRY_LATENCY])
        for stage, pipeline in zip(schedule.pipelines, gates, strict=True):
            if stage.given is not None:
                self._connect_operand(m, stage, pipeline, encoders[stage.given])
            for crossing in stage.stage.crossings:
                self._connect_crossing(m, crossing, gates)
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
        self._connect_registers(m, gates, encoders)
        return m

    def _add_store(self, m):
        """Where a host finds the states."""
        self._store = None
        if self._schedule.loads:
            m.submodules.states = self._store = store = StateStore(self._schedule)
            m.d.comb += [
                store.address.eq(self.index),
                store.write.eq(self.write),
                store.data.eq(self.data),
                store.load.eq(self.load),
                self.done.eq(store.done),
            ]
            for _, state in self._schedule.layer.graph.of(State):
                word = getattr(store, f"read_{state.name}")
                m.d.comb += getattr(self, f"state_{state.name}").eq(word)

    def _connect_registers(self, m, gates, encoders):
        """What the register block is told, and the way of states to their store."""
        schedule = self._schedule
        if not schedule.registers:
            return
        receiver, last = self._receiver, gates[-1]
        time = schedule.pipelines[-1].settle_time
        under_way = Signal(16)  # timesteps
        left = last.valid_at[time] & (last.unit_at[time] == schedule.pipelines[-1].size - 1)
        m.d.comb += [
            self.step.eq(self.i.valid & self.i.ready & receiver.ending),
            self.settled.eq(under_way == 0),
            self.kept.eq(Cat(encoder.wrote for encoder in encoders)),
        ]
        m.d.sync += under_way.eq(under_way + self.step - left)
        if not schedule.loads:
            return
        store, graph = self._store, schedule.layer.graph
        m.d.comb += [receiver.load.eq(self.load), self.waiting.eq(receiver.waiting)]
        for stage, pipeline in zip(schedule.pipelines, gates, strict=True):
            for position in stage.stage.gives:
                name, time = graph.nodes[position].name, stage.times[graph.next_of(position)]
                m.d.comb += [
                    getattr(store, f"valid_{name}").eq(pipeline.valid_at[time]),
                    getattr(store, f"unit_{name}").eq(pipeline.unit_at[time]),
                    getattr(store, f"value_{name}").eq(getattr(pipeline, f"given_{name}")),
                ]
            for position in stage.stage.states:
                name = graph.nodes[position].name
                for what in ("loading", "loaded"):
                    signal = getattr(store, f"{what}_{name}")
                    m.d.comb += getattr(pipeline, f"{what}_{name}").eq(signal)
                m.d.comb += pipeline.loaded_index.eq(store.index)
        for operand, encoder in zip(schedule.layer.operands[1:], encoders[1:], strict=True):
            self._load_operand(m, operand, encoder)

    def _load_operand(self, m, operand, encoder):
        """A state that is loaded is listed; of any other vector nothing was used before."""
        store, node = self._store, self._schedule.layer.graph.nodes[operand.source]
        if not isinstance(node, State):
            with m.If(store.valid & (store.index < operand.size)):
                m.d.comb += [
                    encoder.valid.eq(1),
                    encoder.index.eq(store.index),
                    encoder.value.eq(0),
                    encoder.fresh.eq(1),
                    encoder.listed.eq(0),
                ]
            return
        value, rounding = getattr(store, f"loaded_{node.name}"), int(operand.node != operand.source)
        if rounding:
            narrow = Rescale(node.format, operand.format)
            m.submodules[f"{node.name}_rounded"] = narrow
            m.d.comb += narrow.i.eq(value)
            value = narrow.o
        loading = getattr(store, f"loading_{node.name}")
        loading = delayed(m, loading, rounding, f"{node.name}_loading", reset_less=False)
        index = delayed(m, store.index, rounding, f"{node.name}_index")
        with m.If(loading):
            m.d.comb += [
                encoder.valid.eq(1),
                encoder.index.eq(index),
                encoder.value.eq(value),
                encoder.fresh.eq(1),
                encoder.listed.eq(1),
                encoder.exact.eq(1),
                encoder.buffer.eq(self._receiver.next_buffer),
                encoder.last.eq(index == operand.size - 1),
            ]

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
            m.submodules.x_rounded = narrow = Rescale(layer.input_format, operand.format)
            m.d.comb += narrow.i.eq(receiver.value)
            value = narrow.o
        valid = delayed(m, receiver.valid, rounding, "x_valid", reset_less=False)
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

    def _connect_crossing(self, m, crossing, gates):
        """A memory between the gate pipelines of two stages.

        A sequence's first timestep waits for nothing, so its first stage may write while the last
        one of the timestep before still reads: each has a half of its own.
        """
        writer, reader = gates[crossing.writer], gates[crossing.reader]
        nodes, stages = self._schedule.layer.graph.nodes, self._schedule.pipelines
        source, node = nodes[crossing.source], nodes[crossing.node]
        value = getattr(writer, f"export_{source.name}")
        stored = memory.Memory(
            shape=value.shape(),
            depth=max(2, crossing.depth(source.size)),
            init=[],
            attrs=ram_attributes(crossing.depth(source.size), self._schedule.target),
        )
        name = f"{node.name}_to_{crossing.reader}"
        m.submodules[name] = stored
        write, read = stored.write_port(), stored.read_port()
        written = stages[crossing.writer].times[crossing.source]
        time = stages[crossing.reader].times[crossing.node]
        word = Signal(value.shape(), name=f"{name}_word", reset_less=True)
        m.d.comb += [
            write.addr.eq(writer.unit_at[written]),
            write.data.eq(value),
            write.en.eq(writer.valid_at[written]),
            read.addr.eq(reader.unit_two_before(time)),
        ]
        if not crossing.held:
            m.d.comb += [
                write.addr[-1].eq(writer.flags_at[written][2]),
                read.addr[-1].eq(reader.flags_at[time - 2][2]),
            ]
        elif self._store is not None:
            with m.If(getattr(self._store, f"loading_{node.name}")):
                m.d.comb += [
                    write.addr.eq(self._store.index),
                    write.data.eq(getattr(self._store, f"loaded_{node.name}")),
                    write.en.eq(1),
                ]
        m.d.sync += word.eq(read.data)
        target = getattr(reader, f"import_{node.name}")
        starts = self._schedule.layer.initial if crossing.held else {}
        if node.name in starts:
            shape, unit = shape_of(node.format), reader.unit_two_before(time)
            values, device = starts[node.name], self._schedule.target
            initial = read_rom(m, f"{name}_initial", shape, values, unit, device)
            m.d.comb += target.eq(initial)
        with m.If(~reader.flags_at[time][0] if crossing.held else 1):
            m.d.comb += target.eq(word)

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

    def _connect_gates(self, m, lanes, token):
        """A drain and a gate pipeline for each stage; returns the pipelines."""
        schedule = self._schedule
        pipelines = []
        for stage, first in zip(schedule.stages, schedule.first_fold, strict=True):
            number = stage.stage.number
            drain = Drain(stage, lanes.sum_widths)
            gates = GatePipeline(stage, loads=schedule.loads)
            m.submodules[f"drain{number or ''}"] = drain
            m.submodules[f"gates{number or ''}"] = gates
            mine = token.stage == number if schedule.stages[1:] else 1
            m.d.comb += [
                drain.sums.eq(lanes.sums),
                drain.store.eq(token.store & mine),
                drain.captured.eq(token.captured & mine),
                drain.fold.eq(token.fold - first),
                drain.flags.eq(Cat(token.fresh, token.last, token.buffer)),
                gates.bias_unit.eq(drain.bias_unit),
                gates.unit_before.eq(drain.unit_before),
                gates.unit_ahead.eq(drain.unit_ahead),
                gates.valid.eq(drain.valid),
                gates.unit.eq(drain.unit),
                gates.flags.eq(drain.unit_flags),
                gates.accumulators.eq(drain.accumulators),
            ]
            if stage.stage.input:
                self._keep_input(m, stage, gates)
            pipelines.append(gates)
        for before, stage in pairwise((schedule.stages[-1], *schedule.stages[-1].followers)):
            pipelines.append(self._connect_pass(m, before, pipelines[-1], stage))
        return pipelines

    def _connect_pass(self, m, before, source, stage):
        """A pass over vectors, which begins when the stage before it is done."""
        number, nodes = stage.stage.number, stage.layer.graph.nodes
        m.submodules[f"pass{number}"] = units = VectorPass(stage.size)
        gates = GatePipeline(stage, loads=self._schedule.loads)
        m.submodules[f"gates{number}"] = gates
        time = before.end_time
        m.d.comb += [
            units.start.eq(source.valid_at[time] & (source.unit_at[time] == before.size - 1)),
            units.flags.eq(source.flags_at[time]),
            gates.unit_before.eq(units.unit_before),
            gates.unit_ahead.eq(units.unit_ahead),
            gates.valid.eq(units.valid),
            gates.unit.eq(units.unit),
            gates.flags.eq(units.unit_flags),
        ]
        for scalar in stage.stage.scalars:
            value = getattr(source, f"export_{nodes[scalar].name}")
            held = Signal(value.shape(), name=f"{nodes[scalar].name}_held", reset_less=True)
            with m.If(units.start):
                m.d.sync += held.eq(value)
            word = delayed(m, held, units.latency - 1, f"{nodes[scalar].name}_entering")
            m.d.comb += getattr(gates, f"import_{nodes[scalar].name}").eq(word)
        return gates

    def _keep_input(self, m, schedule, gates):
        """The input's elements, in their order, until the gate pipeline reads them."""
        node = schedule.layer.graph.nodes[schedule.layer.graph.input[0]]
        time, depth = schedule.times[schedule.layer.graph.input[0]], schedule.input_depth
        m.submodules.inputs = kept = memory.Memory(
            shape=self.i.p.value.shape(),
            depth=depth,
            init=[],
            attrs=ram_attributes(depth, schedule.target),
        )
        write, read = kept.write_port(), kept.read_port()
        word = Signal(self.i.p.value.shape(), name="input_word", reset_less=True)
        place = Signal(range(depth))
        m.d.comb += [
            write.data.eq(self.i.p.value),
            write.en.eq(self.i.valid & self.i.ready),
            read.addr.eq(place),
            getattr(gates, f"import_{node.name}").eq(word),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            place.eq(place + gates.valid_at[time - 2]),
            word.eq(read.data),
        ]

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
