"""The engine: one recurrent layer on its lanes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.schedule import ENTRY_LATENCY, LayerSchedule
from .drain import Drain
from .encoder import Encoder, entry_layout
from .gates import GatePipeline
from .lanes import Lanes
from .ram_style import ram_attributes
from .receiver import Receiver, element_layout
from .sequencer import Sequencer
from .weights import weight_memory

__all__ = ["Engine", "output_layout"]


def output_layout(format):
    """An element as in :func:`element_layout`; ``end`` marks the last one of its vector."""
    return data.StructLayout({**element_layout(format).members, "end": 1})


class Engine(wiring.Component):
    """Computes a layer, timestep after timestep and sequence after sequence.

    Takes and gives an element a cycle. Only the sequencer waits: for the input, for the state's
    list, and for room downstream.

    Parameters
    ----------
    schedule : LayerSchedule
        The layer and how it is folded.

    Members
    -------
    i : In(stream of element_layout)
        Elements of the input vectors.
    o : Out(stream of output_layout)
        Elements of the output vectors.
    """

    def __init__(self, schedule):
        if not isinstance(schedule, LayerSchedule):
            raise TypeError(f"Schedule must be a LayerSchedule, not {schedule!r}")
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "i": In(stream.Signature(element_layout(layer.input_format))),
                "o": Out(stream.Signature(output_layout(layer.output_format))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, layer = self._schedule, self._schedule.layer
        m.submodules.receiver = receiver = Receiver(layer.operands[0], layer.skip)
        m.submodules.x_encoder = x_encoder = Encoder(layer.operands[0], layer.skip, schedule.target)
        m.submodules.sequencer = sequencer = Sequencer(schedule)
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        m.d.comb += [
            receiver.released.eq(sequencer.released),
            x_encoder.index_ahead.eq(receiver.index_ahead),
            x_encoder.valid.eq(receiver.valid),
            x_encoder.index.eq(receiver.index),
            x_encoder.value.eq(receiver.value),
            x_encoder.fresh.eq(receiver.fresh),
            x_encoder.listed.eq(1),
            x_encoder.buffer.eq(receiver.buffer),
            x_encoder.last.eq(receiver.last),
            sequencer.x_first.eq(receiver.firsts),
            sequencer.x_last.eq(receiver.lasts),
            sequencer.x_wrote.eq(x_encoder.wrote),
            sequencer.x_closed.eq(x_encoder.closed),
            sequencer.x_buffer.eq(x_encoder.wrote_buffer),
            x_encoder.read_address.eq(sequencer.x_address),
            x_encoder.read_buffer.eq(sequencer.token.buffer),
        ]
        encoders = [x_encoder]
        if layer.recurrent:
            m.submodules.h_encoder = h_encoder = Encoder(
                layer.operands[1], layer.skip, schedule.target
            )
            m.d.comb += [
                sequencer.h_wrote.eq(h_encoder.wrote),
                sequencer.h_closed.eq(h_encoder.closed),
                sequencer.h_buffer.eq(h_encoder.wrote_buffer),
                h_encoder.read_address.eq(sequencer.h_address),
                h_encoder.read_buffer.eq(sequencer.token.buffer),
            ]
            encoders.append(h_encoder)
        tokens = self._delay_token(m, sequencer.token)
        lanes = self._connect_lanes(m, encoders, tokens)
        gates = self._connect_gates(m, lanes, tokens[ENTRY_LATENCY])
        if layer.recurrent:
            time = schedule.operand_time
            m.d.comb += [
                h_encoder.index_ahead.eq(gates.unit_two_before(time)),
                h_encoder.valid.eq(gates.valid_at[time]),
                h_encoder.index.eq(gates.unit_at[time]),
                h_encoder.value.eq(gates.operand),
                h_encoder.fresh.eq(gates.flags_at[time][0]),
                h_encoder.listed.eq(~gates.flags_at[time][1]),
                h_encoder.buffer.eq(~gates.flags_at[time][2]),
                h_encoder.last.eq(gates.unit_at[time] == layer.units - 1),
            ]
        self._connect_output(m, gates, sequencer)
        return m

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
        for name, encoder in zip("xh", encoders, strict=False):
            entry = Signal(encoder.entry.shape(), name=f"{name}_entry", reset_less=True)
            m.d.sync += entry.eq(encoder.entry)
            entries.append(entry)
        column = entries[0].index
        if layer.recurrent:
            after = entries[1].index + layer.operands[0].size
            column = Mux(tokens[2].state, after, column)
        m.submodules.weights = weights = weight_memory(schedule)
        read = weights.read_port()
        address = Signal.like(read.addr, reset_less=True)
        m.d.sync += address.eq(tokens[2].base + column)

        widths = [entry_layout(operand, layer.skip)["value"].width for operand in layer.operands]
        m.submodules.lanes = lanes = Lanes(schedule, widths)
        m.d.comb += [
            read.addr.eq(address),
            lanes.x_value.eq(entries[0].value),
            lanes.h_value.eq(entries[-1].value),
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
                depth=max(2, schedule.passes),
                init=[],
                attrs=ram_attributes(schedule.passes, schedule.target),
            )
            load, store = kept.read_port(), kept.write_port()
            m.d.comb += [
                load.addr.eq(tokens[5].number),
                lanes.kept.eq(load.data),
                store.addr.eq(tokens[7].number),
                store.data.eq(lanes.sums),
                store.en.eq(tokens[7].store),
            ]
        return lanes

    def _connect_gates(self, m, lanes, token):
        schedule = self._schedule
        m.submodules.drain = drain = Drain(schedule, lanes.sum_widths)
        m.submodules.gates = gates = GatePipeline(schedule)
        m.d.comb += [
            drain.sums.eq(lanes.sums),
            drain.store.eq(token.store),
            drain.captured.eq(token.captured),
            drain.fold.eq(token.fold),
            drain.flags.eq(Cat(token.fresh, token.last, token.buffer)),
            gates.bias_unit.eq(drain.bias_unit),
            gates.unit_before.eq(drain.unit_before),
            gates.unit_ahead.eq(drain.unit_ahead),
            gates.valid.eq(drain.valid),
            gates.unit.eq(drain.unit),
            gates.flags.eq(drain.unit_flags),
            gates.accumulators.eq(drain.accumulators),
        ]
        return gates

    def _connect_output(self, m, gates, sequencer):
        schedule = self._schedule
        time = schedule.output_time
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=self.o.payload.shape().size, depth=schedule.output_depth
        )
        element = Signal(self.o.p.shape())
        m.d.comb += [
            element.value.eq(gates.output),
            element.last.eq(gates.flags_at[time][1]),
            element.end.eq(gates.unit_at[time] == schedule.layer.units - 1),
            queue.w_data.eq(element),
            queue.w_en.eq(gates.valid_at[time]),
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
            sequencer.popped.eq(self.o.valid & self.o.ready),
        ]
