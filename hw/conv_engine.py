"""The engine of a convolutional layer: channels on the lanes, pixels one after the other."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring

from ..compiler.schedule import ENTRY_LATENCY
from .conv_encoder import FrameEncoder
from .conv_sequencer import WindowSequencer
from .engine import Engine
from .engine_registers import add_store, connect_registers
from .initial_sums import initial_operand
from .receiver import Receiver
from .stage_pipelines import connect_gates

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
        loads, target = schedule.loads, schedule.target
        store = add_store(m, self, schedule)
        receiver = Receiver(layer.operands[0], layer.skip, loads=loads)
        m.submodules.receiver = receiver
        m.submodules.x_encoder = x = FrameEncoder(layer.operands[0], layer.skip, target)
        m.submodules.h_encoder = h = FrameEncoder(
            layer.operands[1],
            layer.skip,
            target,
            loads=loads,
            initial=initial_operand(layer, layer.operands[1]),
        )
        m.submodules.sequencer = sequencer = WindowSequencer(schedule)
        if loads:
            m.d.comb += sequencer.loaded.eq(receiver.loaded)
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
        (gates,) = connect_gates(m, schedule, lanes, tokens[ENTRY_LATENCY], self.i)
        self._connect_operand(m, schedule.output, gates, h)
        self._connect_output(m, [gates], sequencer)
        connect_registers(m, self, schedule, store, receiver, [gates], (x, h))
        return m

    def _choose_entry(self, entries, token):
        x, h = entries
        return Mux(token.state, h.index, x.index), h.value

    def _slot(self, token):
        return token.slot
