"""The gate pipeline: the element-wise part of a cell graph, a unit a cycle."""

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.graph import Rescale, State
from .delay import delayed
from .gate_bias import bias_layout, bias_table
from .gate_operations import operate
from .ram_style import ram_attributes
from .rescale import Rescale as Narrow
from .rescale import shape_of
from .rom import read_rom

__all__ = ["GatePipeline", "imported"]


def imported(stage):
    """Positions of the nodes whose values come from outside of a stage's gate pipeline."""
    found = [*(crossing.node for crossing in stage.crossings), *stage.scalars]
    return [*found, stage.layer.graph.input[0]] if stage.input else found


def exported(stage):
    """Positions of the nodes whose values other stages read."""
    return [*dict.fromkeys(crossing.source for crossing in stage.exports), *stage.sums]


class GatePipeline(wiring.Component):
    """Adds biases and evaluates the element-wise equations of a stage; never stalls.

    Values are where :func:`~deltaloom.compiler.gate_schedule.gate_times` says. The states that
    the stage both reads and gives are kept here; a sequence's first timestep reads zeros.

    Parameters
    ----------
    schedule : StageSchedule
        Cell graph, formats, tables, times.
    loads : bool
        Whether states are loaded.
    counts : bool
        Whether somebody counts the values that formats cut off.

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
    import_... : In
        For each vector that comes from elsewhere, by its node's name: the word of the unit that
        is in the cycle of the pipeline in which it is read.
    export_... : Out
        For each vector that other stages read, by its node's name, in its own cycle.
    output : Out
        The layer's output element, ``output_time`` cycles later, if the stage gives it.
    operand : Out
        The next matrix-vector operand, ``operand_time`` cycles later, if the stage gives one.
    unit_at : Out
        The unit number of each cycle of the pipeline, from 0 cycles on; so ``valid_at`` and
        ``flags_at``.
    given_... : Out
        With ``loads``, for each state that the stage gives, by its name: its next value,
        ``times`` of that cycles later.
    cut_... : Out(1)
        With ``counts``, for each rescale node of the stage, by its name: it cut a value off.
    loaded_index, loading_..., loaded_... : In
        With ``loads``, for each state that is kept here, by its name: an element of it that is
        loaded.
    """

    def __init__(self, schedule, *, loads=False, counts=False):
        self._schedule = schedule
        layer, stage = schedule.layer, schedule.stage
        nodes = layer.graph.nodes
        self._loads = loads
        self._counts = counts
        self._given = stage.gives if loads else ()
        self._operand = None if schedule.given is None else layer.operands[schedule.given]
        self.depth = max(
            schedule.output_time if schedule.gives_output else 0,
            schedule.operand_time if self._operand else 0,
            *schedule.stored.values(),
            *(schedule.times[node] for node in imported(stage)),
            schedule.end_time if stage.sums else 0,
            *(schedule.times[layer.graph.next_of(state)] for state in self._given),
        )
        unit = range(schedule.size)
        members = {
            "unit_before": In(unit),
            "unit_ahead": In(unit),
            "valid": In(1),
            "unit": In(unit),
            "flags": In(3),
            "unit_at": Out(data.ArrayLayout(unit, self.depth + 1)),
            "valid_at": Out(self.depth + 1),
            "flags_at": Out(data.ArrayLayout(3, self.depth + 1)),
        }
        if stage.multiplies:
            count = sum(len(row) for row in schedule.rows)
            members |= {
                "bias_unit": In(range(schedule.channels)),
                "accumulators": In(schedule.accumulator_width * count),
            }
        for node in imported(stage):
            members[f"import_{nodes[node].name}"] = In(shape_of(nodes[node].format))
        for node in exported(stage):
            members[f"export_{nodes[node].name}"] = Out(shape_of(nodes[node].format))
        for state in self._given:
            members[f"given_{nodes[state].name}"] = Out(shape_of(nodes[state].format))
        for state in stage.states if loads else ():
            node = nodes[state]
            members["loaded_index"] = In(range(node.size))
            members[f"loading_{node.name}"] = In(1)
            members[f"loaded_{node.name}"] = In(shape_of(node.format))
        if schedule.gives_output:
            members["output"] = Out(shape_of(layer.output_format))
        if self._operand:
            members["operand"] = Out(shape_of(self._operand.format))
        self.cuts = []  # names of the rescale nodes that say what they cut off
        if counts:
            rounded = [*stage.nodes, *([self._operand.node] if self._operand else [])]
            names = [nodes[at].name for at in rounded if isinstance(nodes[at], Rescale)]
            self.cuts = list(dict.fromkeys(names))
            members |= {f"cut_{name}": Out(1) for name in self.cuts}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        schedule, stage = self._schedule, self._schedule.stage
        graph, times = schedule.layer.graph, schedule.times
        self._carry_units(m)
        self._values = {}  # (node, cycle) -> signal
        if stage.multiplies:
            self._connect_affines(m)
        for constant in stage.constants:
            self._read_constant(m, constant)
        memories = {state: self._read_state(m, state) for state in stage.states}
        for position in imported(stage):
            word = getattr(self, f"import_{graph.nodes[position].name}")
            self._values[position, times[position]] = word
        for position in stage.nodes:
            self._connect(m, position, graph.nodes[position])
        for state, stored in memories.items():
            self._write_state(m, state, stored)
        for position in exported(stage):
            scalar = position in stage.sums
            value = self._at(m, position, schedule.end_time if scalar else times[position])
            m.d.comb += getattr(self, f"export_{graph.nodes[position].name}").eq(value)
        for state in self._given:
            following = graph.next_of(state)
            value = self._at(m, following, times[following])
            m.d.comb += getattr(self, f"given_{graph.nodes[state].name}").eq(value)
        if schedule.gives_output:
            m.d.comb += self.output.eq(self._at(m, graph.output, schedule.output_time))
        if self._operand:
            self._give_operand(m)
        return m

    def _give_operand(self, m):
        """A state is rounded here; what is multiplied in the same timestep is a node as it is."""
        graph, time = self._schedule.layer.graph, self._schedule.operand_time
        node = self._operand.node
        if not isinstance(graph.nodes[self._operand.source], State):
            m.d.comb += self.operand.eq(self._at(m, node, time))
            return
        following = graph.next_of(self._operand.source)
        if node == self._operand.source:
            m.d.comb += self.operand.eq(self._at(m, following, time))
            return
        source = graph.nodes[following].format
        m.submodules.operand = narrow = Narrow(source, self._operand.format, counts=self._counts)
        m.d.comb += [
            narrow.i.eq(self._at(m, following, time - narrow.latency)),
            self.operand.eq(narrow.o),
        ]
        if self._counts:
            # What a sequence's last timestep leaves is rounded by nobody.
            self._count(m, self._operand.node, narrow, time, ~self.flags_at[time][1])

    def _count(self, m, position, narrow, time, counted=1):
        """Say when a component cuts off a unit's value, or a scalar of all units."""
        node = self._schedule.layer.graph.nodes[position]
        if position in self._schedule.layer.graph.scalars:
            counted = self.unit_at[time] == self._schedule.size - 1
        cut = getattr(self, f"cut_{node.name}")
        m.d.comb += cut.eq(narrow.cut & self.valid_at[time] & counted)

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
            depth=max(2, schedule.channels),
            init=rows,
            attrs=ram_attributes(schedule.channels, schedule.target, rom=True),
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
        layer, time = self._schedule.layer, self._schedule.times[position]
        node = layer.graph.nodes[position]
        values, unit = layer.constants[node.name], self.unit_two_before(time)
        name, shape = f"constant_{node.name}", shape_of(node.format)
        word = read_rom(m, name, shape, values, unit, self._schedule.target)
        self._values[position, time] = word

    def _read_state(self, m, position):
        """A state's value in its cycle of the pipeline; returns the memory that it comes from."""
        layer = self._schedule.layer
        node, time = layer.graph.nodes[position], self._schedule.times[position]
        stored = memory.Memory(
            shape=shape_of(node.format),
            depth=max(2, node.size),
            init=[],
            attrs=ram_attributes(node.size, self._schedule.target),
        )
        m.submodules[f"state_{node.name}"] = stored
        word = self._read(m, stored, time, node.name)
        value = Signal(shape_of(node.format), name=node.name)
        if node.name in layer.initial:
            values, unit = layer.initial[node.name], self.unit_two_before(time)
            name, shape = f"initial_{node.name}", shape_of(node.format)
            initial = read_rom(m, name, shape, values, unit, self._schedule.target)
            m.d.comb += value.eq(initial)
        with m.If(~self.flags_at[time][0]):
            m.d.comb += value.eq(word)
        self._values[position, time] = value
        return stored

    def _write_state(self, m, position, stored):
        graph, times = self._schedule.layer.graph, self._schedule.times
        following = graph.next_of(position)
        time = times[following]
        write = stored.write_port()
        m.d.comb += [
            write.addr.eq(self.unit_at[time]),
            write.data.eq(self._at(m, following, time)),
            write.en.eq(self.valid_at[time]),
        ]
        if self._loads:
            name = graph.nodes[position].name
            with m.If(getattr(self, f"loading_{name}")):
                m.d.comb += [
                    write.addr.eq(self.loaded_index),
                    write.data.eq(getattr(self, f"loaded_{name}")),
                    write.en.eq(1),
                ]

    def _connect(self, m, position, node):
        layer, times = self._schedule.layer, self._schedule.times
        enter = max(times[operand] for operand in node.operands)
        operands = [self._at(m, operand, enter) for operand in node.operands]
        who = self.valid_at[enter], self.unit_at[enter]
        self._values[position, times[position]] = operate(
            m, layer, position, operands, *who, counts=self._counts
        )
        if self._counts and isinstance(node, Rescale):
            self._count(m, position, getattr(m.submodules, node.name), times[position])
