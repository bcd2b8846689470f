"""The accelerator: a network's layers with streams between them, behind AXI4-Stream ports."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler import streams as network_layers
from ..compiler.address_map import AddressMap
from ..compiler.graph import State
from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.marks import is_marked
from ..compiler.skew import is_join, join_depths, taps_of
from ..compiler.wiring import INPUT
from .arg_max import ArgMax
from .attention import Attention
from .conv_engine import ConvolutionalEngine
from .embedding import Embedding
from .engine import Engine
from .entrance import Entrance
from .fork import Fork
from .join import Adder, Join
from .last_step import LastStep
from .pair_entrance import PairEntrance
from .pool import Pool
from .queue import Queue
from .register_block import RegisterBlock, axi_lite_members
from .reverser import Reverser
from .stream_layout import link, marked_layout
from .window import Window

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Computes a network; every layer works on its own timestep at the same time.

    Elements are signed integers, sign-extended to whole bytes. A sequence may be endless, unless a
    layer reverses it, takes its mean or attends to it.

    Parameters
    ----------
    network : IntegerNetwork
        What is computed.
    schedule : Schedule
        How each layer is folded.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast
        Input elements, vector after vector; ``tlast`` on the last element of a sequence. Where
        there is a memory, a sequence of it comes before each of the input; then elements are
        sign-extended to the width of the wider ones.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast, m_axis_tuser
        Output elements; ``tuser`` on the last element of a timestep, ``tlast`` on the last one of
        a sequence.
    error : Out(1)
        A sequence ended within a vector: its ``tlast`` was passed over. It went on beyond the
        timesteps that a reversal, a mean or attention has room for: it was cut there, and the rest
        is a sequence of its own. It was too short for a window: that shows zeros after it. An
        index was not in its table: the row is zero. Stays until reset.
    s_axil_...
        If the schedule has registers: see :class:`~deltaloom.hw.register_block.RegisterBlock`.
    """

    def __init__(self, network, schedule):
        self._network = network
        self._schedule = schedule
        self._depths = join_depths(network)
        self._addresses = AddressMap.of(network) if schedule.registers else None
        super().__init__(
            {
                "s_axis_tdata": In(signed(network.port_width)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(signed(network.output_format.byte_width)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
                "error": Out(1),
                **(axi_lite_members(self._addresses.address_bits) if self._addresses else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        network = self._network
        self._errors = []
        taken = network.inputs
        if len(taken) > 1:
            entrance = PairEntrance(taken.values(), network.port_width)
            roots = {name: getattr(entrance, f"o_{name}") for name in taken}
        else:
            entrance = Entrance(taken[INPUT].format, taken[INPUT].size, taken[INPUT].max_steps)
            roots = {INPUT: entrance.o}
        m.submodules.entrance = entrance
        ports = {layer.name: self._add_layer(m, layer) for layer in network.layers}
        outputs = roots | {name: output for name, (_, output) in ports.items()}
        for name, output in outputs.items():
            sinks = [ports[reader][0][place] for reader, place in taps_of(network, name)]
            if len(sinks) > 1:
                fork = Fork(network.formats[name], len(sinks))
                m.submodules[f"{submodule_name(name)}_fork"] = fork
                link(m, output, fork.i)
                for branch, sink in zip(fork.o, sinks, strict=True):
                    link(m, branch, sink)
            elif sinks:
                link(m, output, sinks[0])
        exit = outputs[network.layers[-1].name]
        m.d.comb += [
            entrance.i.valid.eq(self.s_axis_tvalid),
            entrance.i.payload.value.eq(self.s_axis_tdata),
            entrance.i.payload.last.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(entrance.i.ready),
            self.m_axis_tvalid.eq(exit.valid),
            self.m_axis_tdata.eq(exit.payload.value),
            self.m_axis_tuser.eq(exit.payload.end),
            self.m_axis_tlast.eq(exit.payload.end & exit.payload.last),
            exit.ready.eq(self.m_axis_tready),
        ]
        with m.If(Cat(entrance.error, *self._errors).any()):
            m.d.sync += self.error.eq(1)
        if self._addresses is not None:
            self._connect_registers(m, entrance, roots[INPUT])
        return m

    def _connect_registers(self, m, entrance, last_input):
        """The register block; while it loads states, the input waits.

        ``last_input`` is the stream whose sequences end what is computed at a time: a sequence,
        or a pair of them.
        """
        m.submodules.registers = block = RegisterBlock(self._addresses)
        for name in axi_lite_members(self._addresses.address_bits):
            port, own = getattr(block, name), getattr(self, name)
            inward = self.signature.members[name].flow is In
            m.d.comb += port.eq(own) if inward else own.eq(port)
        with m.If(block.loading):
            m.d.comb += [entrance.i.valid.eq(0), self.s_axis_tready.eq(0)]

        between = Signal(init=1)  # the element that comes is the first one of a sequence or pair
        sequences = Signal(16)
        taken = entrance.i.valid & entrance.i.ready
        left = self.m_axis_tvalid & self.m_axis_tready & self.m_axis_tlast
        with m.If(taken):
            m.d.sync += between.eq(last_input.valid & last_input.payload.last)
        m.d.sync += sequences.eq(sequences + (taken & between) - left)
        engines = [
            (layer, getattr(m.submodules, submodule_name(layer.name)))
            for layer in self._network.computing
        ]
        m.d.comb += [
            block.running.eq(sequences != 0),
            block.settled.eq(Cat(engine.settled for _, engine in engines).all()),
            block.error.eq(self.error),
        ]
        amounts = [
            amount for _, engine in engines for amount in (engine.step, *engine.kept, *engine.cut)
        ]
        for counter, amount in zip(block.amounts, amounts, strict=True):
            m.d.comb += counter.eq(amount)
        loading = [(layer, engine) for layer, engine in engines if layer.graph.next_states]
        state = 0
        for number, (layer, engine) in enumerate(loading):
            names = [node.name for _, node in layer.graph.of(State)]
            m.d.comb += [
                engine.index.eq(block.index),
                engine.data.eq(block.data),
                engine.write.eq(block.write[state : state + len(names)]),
                engine.load.eq(block.load[number]),
                block.done[number].eq(engine.done),
                block.waiting[number].eq(engine.waiting),
            ]
            for name in names:
                m.d.comb += block.states[state].eq(getattr(engine, f"state_{name}"))
                state += 1

    def _add_layer(self, m, layer):
        """Add the component of a layer; returns its inputs, one a source, and its output."""
        network, name = self._network, submodule_name(layer.name)
        sources = network.sources[layer.name]
        formats = [network.formats[source] for source in sources]
        size = network.sizes[sources[0]]
        steps = network.longest(sources[0])
        target = self._schedule.target
        match layer:
            case IntegerLayer():
                kind = ConvolutionalEngine if layer.convolutional else Engine
                part = kind(self._schedule.of(layer.name))
            case network_layers.LastStep() if is_marked(network, sources[0]):
                part = LastStep(formats[0])
            case network_layers.LastStep() | network_layers.Pool():
                part = Pool(layer, formats[0], size, steps, target)
            case network_layers.ArgMax():
                part = ArgMax(formats[0], layer.format, size)
            case network_layers.Reverse():
                part = Reverser(formats[0], size, steps, target)
            case network_layers.Window():
                part = Window(layer, formats[0], size, target)
                self._errors.append(part.error)
            case network_layers.Embedding():
                part = Embedding(layer, formats[0], target)
                self._errors.append(part.error)
            case network_layers.Concatenate():
                part = Join(formats[0], len(sources))
                inputs = list(part.i)
            case network_layers.Sum():
                part = Adder(layer, formats)
                inputs = part.sources
            case IntegerAttention():
                part = Attention(self._schedule.attention(layer.name))
                inputs = [part.query, part.key, part.value]
            case _:
                raise TypeError(f"Layer must be a known one, not {layer!r}")
        m.submodules[name] = part
        if not is_join(layer):
            return [part.i], part.o
        entrances = []
        for place, (format, sink) in enumerate(zip(formats, inputs, strict=True)):
            depth = self._depths[layer.name][place]
            queue = Queue(marked_layout(format), depth, target)
            m.submodules[f"{name}_queue_{place}"] = queue
            link(m, queue.o, sink)
            entrances.append(queue.i)
        return entrances, part.o


def submodule_name(layer):
    return layer.replace(".", "_")
