"""The gate pipelines of an engine's stages, and the vectors that pass between them."""

from itertools import pairwise

from amaranth.hdl import Cat, Signal
from amaranth.lib import memory

from .delay import delayed
from .drain import Drain
from .gates import GatePipeline
from .ram_style import ram_attributes
from .rescale import shape_of
from .rom import read_rom
from .vector_pass import VectorPass

__all__ = ["connect_crossing", "connect_gates"]


def connect_gates(m, schedule, lanes, token, elements):
    """A drain and a gate pipeline for each stage; returns the pipelines."""
    pipelines = []
    for stage, first in zip(schedule.stages, schedule.first_fold, strict=True):
        number = stage.stage.number
        drain = Drain(stage, lanes.sum_widths)
        gates = GatePipeline(stage, loads=schedule.loads, counts=schedule.registers)
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
            keep_input(m, stage, gates, elements)
        pipelines.append(gates)
    for before, stage in pairwise((schedule.stages[-1], *schedule.stages[-1].followers)):
        pipelines.append(connect_pass(m, schedule, before, pipelines[-1], stage))
    return pipelines


def connect_pass(m, schedule, before, source, stage):
    """A pass over vectors, which begins when the stage before it is done."""
    number, nodes = stage.stage.number, stage.layer.graph.nodes
    m.submodules[f"pass{number}"] = units = VectorPass(stage.size)
    gates = GatePipeline(stage, loads=schedule.loads, counts=schedule.registers)
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


def keep_input(m, schedule, gates, elements):
    """The input's elements, in their order, until the gate pipeline reads them."""
    node = schedule.layer.graph.nodes[schedule.layer.graph.input[0]]
    time, depth = schedule.times[schedule.layer.graph.input[0]], schedule.input_depth
    m.submodules.inputs = kept = memory.Memory(
        shape=elements.p.value.shape(),
        depth=depth,
        init=[],
        attrs=ram_attributes(depth, schedule.target),
    )
    write, read = kept.write_port(), kept.read_port()
    word = Signal(elements.p.value.shape(), name="input_word", reset_less=True)
    place = Signal(range(depth))
    m.d.comb += [
        write.data.eq(elements.p.value),
        write.en.eq(elements.valid & elements.ready),
        read.addr.eq(place),
        getattr(gates, f"import_{node.name}").eq(word),
    ]
    m.d.sync += [
        write.addr.eq(write.addr + write.en),
        place.eq(place + gates.valid_at[time - 2]),
        word.eq(read.data),
    ]


def connect_crossing(m, schedule, crossing, gates, store):
    """A memory between the gate pipelines of two stages.

    A sequence's first timestep waits for nothing, so its first stage may write while the last
    one of the timestep before still reads: each has a half of its own.
    """
    writer, reader = gates[crossing.writer], gates[crossing.reader]
    nodes, stages = schedule.layer.graph.nodes, schedule.pipelines
    source, node = nodes[crossing.source], nodes[crossing.node]
    value = getattr(writer, f"export_{source.name}")
    stored = memory.Memory(
        shape=value.shape(),
        depth=max(2, crossing.depth(source.size)),
        init=[],
        attrs=ram_attributes(crossing.depth(source.size), schedule.target),
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
    elif store is not None:
        with m.If(getattr(store, f"loading_{node.name}")):
            m.d.comb += [
                write.addr.eq(store.index),
                write.data.eq(getattr(store, f"loaded_{node.name}")),
                write.en.eq(1),
            ]
    m.d.sync += word.eq(read.data)
    target = getattr(reader, f"import_{node.name}")
    starts = schedule.layer.initial if crossing.held else {}
    if node.name in starts:
        shape, unit = shape_of(node.format), reader.unit_two_before(time)
        values, device = starts[node.name], schedule.target
        initial = read_rom(m, f"{name}_initial", shape, values, unit, device)
        m.d.comb += target.eq(initial)
    with m.If(~reader.flags_at[time][0] if crossing.held else 1):
        m.d.comb += target.eq(word)
