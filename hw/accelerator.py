"""The accelerator: a network's engines in a row, behind AXI4-Stream ports."""

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import IntegerLayer
from .conv_engine import ConvolutionalEngine
from .engine import Engine
from .last_step import LastStep

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Computes a network; every layer works on its own timestep at the same time.

    Elements are signed integers, sign-extended to whole bytes. A sequence may be endless.

    Parameters
    ----------
    network : IntegerNetwork
        What is computed.
    schedule : Schedule
        How each layer is folded.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast
        Input elements, vector after vector; ``tlast`` on the last element of a sequence.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast, m_axis_tuser
        Output elements; ``tuser`` on the last element of a timestep, ``tlast`` on the last one of
        a sequence.
    error : Out(1)
        A sequence ended within a vector: its ``tlast`` was passed over. Stays until reset.
    """

    def __init__(self, network, schedule):
        self._network = network
        self._schedule = schedule
        super().__init__(
            {
                "s_axis_tdata": In(signed(network.input_format.byte_width)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(signed(network.output_format.byte_width)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        parts = []
        for layer in self._network.layers:
            if isinstance(layer, IntegerLayer):
                kind = ConvolutionalEngine if layer.convolutional else Engine
                part = kind(self._schedule.of(layer.name))
                before = layer
            else:
                part = LastStep(before.output_format)
            parts.append(part)
            m.submodules[layer.name.replace(".", "_")] = part
        for source, sink in zip(parts, parts[1:], strict=False):
            m.d.comb += [
                sink.i.valid.eq(source.o.valid),
                sink.i.payload.value.eq(source.o.payload.value),
                sink.i.payload.last.eq(source.o.payload.last),
                source.o.ready.eq(sink.i.ready),
            ]
            if isinstance(sink, LastStep):
                m.d.comb += sink.i.payload.end.eq(source.o.payload.end)
        entrance, exit = parts[0].i, parts[-1].o
        m.d.comb += [
            entrance.valid.eq(self.s_axis_tvalid),
            entrance.payload.value.eq(self.s_axis_tdata),
            entrance.payload.last.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(entrance.ready),
            self.m_axis_tvalid.eq(exit.valid),
            self.m_axis_tdata.eq(exit.payload.value),
            self.m_axis_tuser.eq(exit.payload.end),
            self.m_axis_tlast.eq(exit.payload.end & exit.payload.last),
            exit.ready.eq(self.m_axis_tready),
        ]
        taken = self.s_axis_tvalid & self.s_axis_tready
        with m.If(taken & self.s_axis_tlast & ~parts[0].ending):
            m.d.sync += self.error.eq(1)
        return m
