"""The engine of a convolutional layer: channels on the lanes, pixels one after the other."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring

from ..compiler.schedule import ENTRY_LATENCY
from .conv_encoder import FrameEncoder
from .conv_sequencer import WindowSequencer
from .engine import Engine
from .lanes import Lanes
from .ram_style import ram_attributes
from .receiver import Receiver
from .weights import weight_memory

__all__ = ["ConvolutionalEngine"]


class ConvolutionalEngine(Engine):
    """Computes a convolutional layer, frame after frame and sequence after sequence.

    As an :class:`~deltaloom.hw.engine.Engine`, but its lists hold frames, and each pixel walks
    the spans of them that its windows see. A frame's first pixels are computed while the last
    ones of the frame before are in the gate pipeline.

    Parameters
    ----------
    schedule : LayerSchedule
        The layer and how it is folded.
    """

    def elaborate(self, platform):
        m = Module()
        schedule, layer = self._schedule, self._schedule.layer
        m.submodules.receiver = receiver = Receiver(layer.operands[0], layer.skip)
        m.submodules.x_encoder = x = FrameEncoder(layer.operands[0], layer.skip, schedule.target)
        m.submodules.h_encoder = h = FrameEncoder(layer.operands[1], layer.skip, schedule.target)
        m.submodules.sequencer = sequencer = WindowSequencer(schedule)
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        m.d.comb += [
            receiver.released.eq(sequencer.released),
            x.listed.eq(1),
            sequencer.firsts.eq(receiver.firsts),
            sequencer.lasts.eq(receiver.lasts),
            sequencer.x_closed.eq(x.closed),
            sequencer.x_closed_buffer.eq(x.closed_buffer),
            sequencer.h_pixel.eq(h.pixel),
            sequencer.h_closed_buffer.eq(h.closed_buffer),
            sequencer.x_start.eq(x.start),
            sequencer.x_end.eq(x.end),
            sequencer.h_start.eq(h.start),
            sequencer.h_end.eq(h.end),
        ]
        for name in ("index_ahead", "valid", "index", "value", "fresh", "buffer", "last"):
            m.d.comb += getattr(x, name).eq(getattr(receiver, name))
        for encoder in (x, h):
            m.d.comb += [
                encoder.read_address.eq(sequencer.address),
                encoder.read_buffer.eq(sequencer.token.buffer),
                encoder.span_buffer.eq(sequencer.span_buffer),
                encoder.first.eq(sequencer.span_first),
                encoder.behind.eq(sequencer.span_behind),
            ]
        tokens = self._delay_token(m, sequencer.token)
        lanes = self._connect_lanes(m, (x, h), tokens)
        (gates,) = self._connect_gates(m, lanes, tokens[ENTRY_LATENCY])
        self._connect_operand(m, schedule.output, gates, h)
        self._connect_output(m, [gates], sequencer)
        return m

    def _connect_lanes(self, m, encoders, tokens):
        """List entries (cycle 1), their columns (3, 4), products (6) and sums (7)."""
        schedule = self._schedule
        entries = []
        for name, encoder in zip("xh", encoders, strict=True):
            entry = Signal(encoder.entry.shape(), name=f"{name}_entry", reset_less=True)
            m.d.sync += entry.eq(encoder.entry)
            entries.append(entry)
        m.submodules.weights = weights = weight_memory(schedule)
        read = weights.read_port()
        address = Signal.like(read.addr, reset_less=True)
        x, h = entries
        m.d.sync += address.eq(tokens[2].base + Mux(tokens[2].state, h.index, x.index))

        m.submodules.lanes = lanes = Lanes(schedule)
        m.d.comb += [
            read.addr.eq(address),
            lanes.x_value.eq(x.value),
            lanes.h_value.eq(h.value),
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
                load.addr.eq(tokens[5].slot),
                lanes.kept.eq(load.data),
                store.addr.eq(tokens[7].slot),
                store.data.eq(lanes.sums),
                store.en.eq(tokens[7].store),
            ]
        return lanes
