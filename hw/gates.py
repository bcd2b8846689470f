"""The gate pipeline: the element-wise part of a cell graph, a unit a cycle."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.fixed import Format, half_unit, width_for
from ..compiler.graph import Activation, Add, Affine, Constant, Mul, Rescale, State, Sub
from .delay import delayed
from .multiplier import Multiplier
from .pwl import Activation as PiecewiseLinear
from .ram_style import ram_attributes
from .rescale import Rescale as Narrow
from .rescale import shape_of

__all__ = ["GatePipeline", "bias_layout"]


def bias_table(schedule):
    """By affine node in row order: what is added to its sums, int64 (channels,).

    The bias and, so that it costs nothing, the half that rounding to the next format adds.
    """
    layer, graph = schedule.layer, schedule.layer.graph
    found = {}
    for position in (position for row in schedule.rows for position in row):
        affine, target = graph.nodes[position], graph.nodes[graph.readers(position)[0]]
        shift = affine.format.frac - target.format.frac
        found[affine.name] = layer.biases[affine.name] + half_unit(shift)
    return found


def bias_layout(schedule):
    """A unit's word in the bias memory."""
    return data.StructLayout(
        {
            name: signed(width_for(int(values.min()), int(values.max())))
            for name, values in bias_table(schedule).items()
        }
    )


class GatePipeline(wiring.Component):
    """Adds biases and evaluates the cell's element-wise equations; never stalls.

    Stages come from the layer's :class:`~deltaloom.compiler.gate_schedule.GateSchedule`. The
    states that the equations read are kept here; a sequence's first timestep reads zeros.

    Parameters
    ----------
    schedule : LayerSchedule
        Cell graph, formats, tables, stages.

    Members
    -------
    bias_unit : In
        Unit, within its pixel, that enters in ``drain_latency - 1`` cycles.
    unit_before, unit_ahead : In
        Unit that enters in two cycles, and in the next one.
    valid, unit, flags : In
        Unit that enters; flags are: first and last timestep of its sequence, list buffer.
    accumulators : In
        Sums, without bias, of the unit that enters in the next cycle, row after row.
    output : Out
        The layer's output element, ``output_time`` cycles later.
    operand : Out
        The next timestep's matrix-vector operand, ``operand_time`` cycles later.
    unit_at : Out
        The unit number of each cycle of the pipeline, from 0 cycles on; so ``valid_at`` and
        ``flags_at``.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        self._operand = layer.operands[1] if layer.recurrent else None
        self.depth = max(
            schedule.output_time,
            schedule.operand_time if self._operand else 0,
            *(schedule.gates.times[n] for n in layer.graph.next_states),
        )
        unit = range(layer.units)
        width = schedule.accumulator_width
        members = {
            "bias_unit": In(range(layer.channels)),
            "unit_before": In(unit),
            "unit_ahead": In(unit),
            "valid": In(1),
            "unit": In(unit),
            "flags": In(3),
            "accumulators": In(width * sum(len(row) for row in schedule.rows)),
            "output": Out(shape_of(layer.output_format)),
            "unit_at": Out(data.ArrayLayout(unit, self.depth + 1)),
            "valid_at": Out(self.depth + 1),
            "flags_at": Out(data.ArrayLayout(3, self.depth + 1)),
        }
        if self._operand:
            members["operand"] = Out(shape_of(self._operand.format))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        schedule, graph = self._schedule, self._schedule.layer.graph
        self._carry_units(m)
        self._values = {}  # (node, cycle) -> signal
        self._connect_affines(m)
        for constant in schedule.gates.constants:
            self._read_constant(m, constant)
        memories = {state: self._read_state(m, state) for state in schedule.gates.memories}
        for position, node in enumerate(graph.nodes):
            if position in schedule.gates.times and not isinstance(node, Affine | State | Constant):
                self._connect(m, position, node)
        for state, stored in memories.items():
            self._write_state(m, state, stored)
        m.d.comb += self.output.eq(self._at(m, graph.output, schedule.output_time))
        if self._operand:
            following = graph.next_of(self._operand.source)
            value = self._at(m, following, schedule.gates.times[following])
            if self._operand.node != self._operand.source:
                source = graph.nodes[following].format
                m.submodules.operand = narrow = Narrow(source, self._operand.format)
                m.d.comb += narrow.i.eq(value)
                value = narrow.o
            m.d.comb += self.operand.eq(value)
        return m

    def _carry_units(self, m):
        unit, valid, flags = self.unit, self.valid, self.flags
        for cycle in range(self.depth + 1):
            m.d.comb += [
                self.unit_at[cycle].eq(unit),
                self.valid_at[cycle].eq(valid),
                self.flags_at[cycle].eq(flags),
            ]
            unit = delayed(m, unit, 1, f"unit{cycle}")
            valid = delayed(m, valid, 1, f"valid{cycle}", reset_less=False)
            flags = delayed(m, flags, 1, f"flags{cycle}")

    def _at(self, m, position, cycle):
        """A node's value in a given cycle of the pipeline, through balancing registers."""
        if (position, cycle) not in self._values:
            name = f"{self._schedule.layer.graph.nodes[position].name}_at{cycle}"
            earlier = self._at(m, position, cycle - 1)
            held = Signal(earlier.shape(), name=name, reset_less=True)
            m.d.sync += held.eq(earlier)
            self._values[position, cycle] = held
        return self._values[position, cycle]

    def _connect_affines(self, m):
        """Sums plus bias; the half that their rescaling adds is part of the bias memory."""
        schedule, layer = self._schedule, self._schedule.layer
        graph, width = layer.graph, schedule.accumulator_width
        table = bias_table(schedule)
        rows = [
            dict(zip(table, row, strict=True))
            for row in np.stack(list(table.values()), axis=1).tolist()
        ]
        m.submodules.bias = bias = memory.Memory(
            shape=bias_layout(schedule),
            depth=max(2, layer.channels),
            init=rows,
            attrs=ram_attributes(layer.channels, schedule.target, rom=True),
        )
        read = bias.read_port()
        m.d.comb += read.addr.eq(self.bias_unit)
        constants = data.View(
            read.data.shape(), delayed(m, read.data, schedule.drain_latency - 3, "bias")
        )
        order = [position for row in schedule.rows for position in row]
        for at, position in enumerate(order):
            name = graph.nodes[position].name
            total = self.accumulators.word_select(at, width).as_signed() + constants[name]
            held = Signal(total.shape(), name=f"{name}_sum", reset_less=True)
            m.d.sync += held.eq(total)
            self._values[position, 0] = held

    def unit_two_before(self, time):
        """The unit that is in a cycle of the pipeline two clock cycles later."""
        before = {0: self.unit_before, 1: self.unit_ahead}
        return before[time] if time in before else self.unit_at[time - 2]

    def _read(self, m, stored, time, name):
        """A unit's word in a cycle of the pipeline, through a register behind its memory."""
        read = stored.read_port()
        m.d.comb += read.addr.eq(self.unit_two_before(time))
        word = Signal(read.data.shape(), name=f"{name}_word", reset_less=True)
        m.d.sync += word.eq(read.data)
        return word

    def _read_constant(self, m, position):
        layer, time = self._schedule.layer, self._schedule.gates.times[position]
        node = layer.graph.nodes[position]
        stored = memory.Memory(
            shape=shape_of(node.format),
            depth=max(2, layer.units),
            init=layer.constants[node.name].tolist(),
            attrs=ram_attributes(layer.units, self._schedule.target, rom=True),
        )
        m.submodules[f"constant_{node.name}"] = stored
        self._values[position, time] = self._read(m, stored, time, node.name)

    def _read_state(self, m, position):
        """A state's value in its cycle of the pipeline; returns the memory that it comes from."""
        layer = self._schedule.layer
        node, time = layer.graph.nodes[position], self._schedule.gates.times[position]
        stored = memory.Memory(
            shape=shape_of(node.format),
            depth=max(2, layer.units),
            init=[],
            attrs=ram_attributes(layer.units, self._schedule.target),
        )
        m.submodules[f"state_{node.name}"] = stored
        word = self._read(m, stored, time, node.name)
        value = Signal(shape_of(node.format), name=node.name)
        with m.If(~self.flags_at[time][0]):
            m.d.comb += value.eq(word)
        self._values[position, time] = value
        return stored

    def _write_state(self, m, position, stored):
        graph, times = self._schedule.layer.graph, self._schedule.gates.times
        following = graph.next_of(position)
        time = times[following]
        write = stored.write_port()
        m.d.comb += [
            write.addr.eq(self.unit_at[time]),
            write.data.eq(self._at(m, following, time)),
            write.en.eq(self.valid_at[time]),
        ]

    def _connect(self, m, position, node):
        layer, times = self._schedule.layer, self._schedule.gates.times
        nodes = layer.graph.nodes
        enter = max(times[operand] for operand in node.operands)
        operands = [self._at(m, operand, enter) for operand in node.operands]
        formats = [nodes[operand].format for operand in node.operands]
        match node:
            case Rescale():
                source = formats[0]
                rounded = isinstance(nodes[node.operand], Affine)
                if rounded:
                    source = Format(len(operands[0]), source.frac)
                unit = Narrow(source, node.format, rounded=rounded)
                m.submodules[node.name] = unit
                m.d.comb += unit.i.eq(operands[0])
                value = unit.o
            case Activation(function="relu"):
                value = Signal(shape_of(node.format), name=node.name)
                m.d.comb += value.eq(Mux(operands[0] < 0, 0, operands[0]))
            case Activation():
                m.submodules[node.name] = unit = PiecewiseLinear(layer.tables[node.name])
                m.d.comb += unit.i.eq(operands[0])
                value = unit.o
            case Mul():
                widths = [format.width + int(not format.signed) for format in formats]
                m.submodules[node.name] = unit = Multiplier(*widths)
                m.d.comb += [unit.a.eq(operands[0]), unit.b.eq(operands[1])]
                value = Signal(shape_of(node.format), name=node.name)
                m.d.comb += value.eq(unit.p)
            case Add() | Sub():
                a, b = (
                    operand << (node.format.frac - format.frac)
                    for operand, format in zip(operands, formats, strict=True)
                )
                value = Signal(shape_of(node.format), name=node.name)
                m.d.comb += value.eq(a + b if isinstance(node, Add) else a - b)
            case _:
                raise AssertionError(f"no hardware for {node}")
        self._values[position, times[position]] = value
