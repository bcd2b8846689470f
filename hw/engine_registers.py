"""What an engine has for the register block: states to load and read, and what is counted."""

from amaranth.hdl import Cat, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from ..compiler.graph import State
from ..compiler.saturation import cut_at_start, saturating_states
from .delay import delayed
from .rescale import Rescale, shape_of
from .state_store import StateStore

__all__ = ["INCREMENT", "add_store", "connect_registers", "register_members"]

INCREMENT = 16  # bits of what a counter grows by in a cycle


def register_members(schedule):
    """Members by which the register block sees an engine."""
    if not schedule.registers:
        return {}
    layer = schedule.layer
    counted = 1 + len(saturating_states(layer.graph))
    members = {
        "settled": Out(1),
        "step": Out(1),
        "kept": Out(len(layer.operands)),
        "cut": Out(ArrayLayout(INCREMENT, counted)),
    }
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


def add_store(m, engine, schedule):
    """Where a host finds the states of an engine; None if it loads none."""
    if not schedule.loads:
        return None
    m.submodules.states = store = StateStore(schedule)
    m.d.comb += [
        store.address.eq(engine.index),
        store.write.eq(engine.write),
        store.data.eq(engine.data),
        store.load.eq(engine.load),
        engine.done.eq(store.done),
    ]
    for _, state in schedule.layer.graph.of(State):
        word = getattr(store, f"read_{state.name}")
        m.d.comb += getattr(engine, f"state_{state.name}").eq(word)
    return store


def connect_registers(m, engine, schedule, store, receiver, gates, encoders, input_cuts=()):
    """What the register block is told, and the way of states to their store.

    ``input_cuts`` say that a value of the input was cut off.
    """
    if not schedule.registers:
        return
    last = gates[-1]
    time = schedule.pipelines[-1].settle_time
    under_way = Signal(16)  # timesteps
    left = last.valid_at[time] & (last.unit_at[time] == schedule.pipelines[-1].size - 1)
    m.d.comb += [
        engine.step.eq(engine.i.valid & engine.i.ready & receiver.ending),
        engine.settled.eq(under_way == 0),
        engine.kept.eq(Cat(encoder.wrote for encoder in encoders)),
    ]
    m.d.sync += under_way.eq(under_way + engine.step - left)
    cuts = list(input_cuts)
    if schedule.loads:
        cuts += connect_states(m, engine, schedule, store, receiver, gates, encoders)
    count_cuts(m, engine, schedule.layer, gates, cuts, left & last.flags_at[time][0])


def count_cuts(m, engine, layer, gates, cuts, started):
    """How many values are cut off: in the gate pipelines and where ``cuts`` say so.

    ``started`` says that a sequence is under way which started from the layer's own states.
    """
    named = {name: getattr(pipeline, f"cut_{name}") for pipeline in gates for name in pipeline.cuts}
    at_start = sum(cut_at_start(layer, operand) for operand in layer.operands)
    amounts = [*cuts, *named.values(), *([Mux(started, at_start, 0)] if at_start else [])]
    states = [named[node] for node in saturating_states(layer.graph).values()]
    for place, amount in enumerate([sum(amounts), *states]):
        m.d.sync += engine.cut[place].eq(amount)


def connect_states(m, engine, schedule, store, receiver, gates, encoders):
    """The way of states to their store and back; where their rounding cuts values off."""
    graph = schedule.layer.graph
    m.d.comb += [receiver.load.eq(engine.load), engine.waiting.eq(receiver.waiting)]
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
    pairs = zip(schedule.layer.operands[1:], encoders[1:], strict=True)
    return [
        cut
        for operand, encoder in pairs
        for cut in load_operand(m, schedule, store, receiver, operand, encoder)
    ]


def load_operand(m, schedule, store, receiver, operand, encoder):
    """A state that is loaded is listed; of any other vector nothing was used before.

    Returns where its rounding cuts a value off, if it has any.
    """
    node = schedule.layer.graph.nodes[operand.source]
    if not isinstance(node, State):
        with m.If(store.valid & (store.index < operand.size)):
            m.d.comb += [
                encoder.valid.eq(1),
                encoder.index.eq(store.index),
                encoder.value.eq(0),
                encoder.fresh.eq(1),
                encoder.listed.eq(0),
            ]
        return []
    value, rounding = getattr(store, f"loaded_{node.name}"), int(operand.node != operand.source)
    if rounding:
        narrow = Rescale(node.format, operand.format, counts=True)
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
            encoder.buffer.eq(receiver.next_buffer),
            encoder.last.eq(index == operand.size - 1),
        ]
    return [narrow.cut & loading] if rounding else []
