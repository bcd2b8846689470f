"""A layer's states where a host reads and writes them, and their way back into the layer."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.graph import State
from ..compiler.schedule import LOAD_LATENCY
from .delay import delayed
from .ram_style import ram_attributes
from .rescale import shape_of

__all__ = ["StateStore"]


class StateStore(wiring.Component):
    """Keeps what a timestep makes of each state, for a host, and hands it back on request.

    A host reads and writes it while no timestep is being computed. Handing back takes an element
    of each state a cycle.

    Parameters
    ----------
    schedule : LayerSchedule
        A layer with states.

    Members
    -------
    valid_<state>, unit_<state>, value_<state> : In
        An element of the state's next value, when it is computed.
    address : In
        Element that the host reads or writes.
    write : In
        A bit for each state: its element takes ``data``.
    data : In(signed(32))
        See above.
    read_<state> : Out
        The element, a cycle after its address.
    load : In(1)
        Hand the states back; the schedule's ``load_cycles`` later it is done, and they are listed.
    done : Out(1)
        The states were handed back.
    valid, index : Out
        Whether there is an element of any vector, and its number.
    loading_<state>, loaded_<state> : Out
        Whether the element is one of the state's, and its value.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        self._states = [state for _, state in schedule.layer.graph.of(State)]
        self._size = size = schedule.load_size
        members = {
            "address": In(range(size)),
            "write": In(len(self._states)),
            "data": In(signed(32)),
            "load": In(1),
            "done": Out(1),
            "valid": Out(1),
            "index": Out(range(size)),
        }
        for state in self._states:
            unit, shape = range(state.size), shape_of(state.format)
            members |= {
                f"valid_{state.name}": In(1),
                f"unit_{state.name}": In(unit),
                f"value_{state.name}": In(shape),
                f"read_{state.name}": Out(shape),
                f"loading_{state.name}": Out(1),
                f"loaded_{state.name}": Out(shape),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        running, at = Signal(), Signal(range(self._size))
        with m.If(self.load):
            m.d.sync += running.eq(1)
        last = running & (at == self._size - 1)
        with m.If(running):
            m.d.sync += at.eq(at + 1)
        with m.If(last):
            m.d.sync += [running.eq(0), at.eq(0)]
        m.d.comb += [
            self.index.eq(delayed(m, at, 2, "index")),
            self.valid.eq(delayed(m, running, 2, "valid", reset_less=False)),
            self.done.eq(delayed(m, last, LOAD_LATENCY, "done", reset_less=False)),
        ]
        for number, state in enumerate(self._states):
            name = state.name
            stored = memory.Memory(
                shape=shape_of(state.format),
                depth=max(2, state.size),
                init=[],
                attrs=ram_attributes(state.size, self._schedule.target),
            )
            m.submodules[name] = stored
            write, read = stored.write_port(), stored.read_port()
            m.d.comb += [
                write.addr.eq(self.address),
                write.data.eq(self.data),
                write.en.eq(self.write[number]),
                read.addr.eq(self.address),
                getattr(self, f"read_{name}").eq(read.data),
            ]
            with m.If(getattr(self, f"valid_{name}")):
                m.d.comb += [
                    write.addr.eq(getattr(self, f"unit_{name}")),
                    write.data.eq(getattr(self, f"value_{name}")),
                    write.en.eq(1),
                ]
            with m.If(running):
                m.d.comb += read.addr.eq(at)
            mine = running & (at < state.size)
            loading = delayed(m, mine, 2, f"{name}_loading", reset_less=False)
            m.d.comb += [
                getattr(self, f"loading_{name}").eq(loading),
                getattr(self, f"loaded_{name}").eq(delayed(m, read.data, 1, f"{name}_loaded")),
            ]
        return m
