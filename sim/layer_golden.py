"""The golden model of one layer whose graph multiplies: all its timesteps, with what it skips."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..compiler.graph import Affine, Constant, Input, State
from ..compiler.integer import IntegerLayer, Operand
from ..compiler.states import LoadedStates
from .columns import fired_columns, held_values, hold
from .elementwise import Step, Values, elementwise_step, integer_type
from .gates import GateSums

__all__ = ["LayerRun", "LayerTrace", "Watch", "run_layer", "watch_layer"]

Array = np.ndarray

CHUNK_ELEMENTS = 1 << 19  # pre-activations computed ahead of the recurrence: they stay in cache


@dataclass(frozen=True)
class LayerTrace:
    """What happened inside one layer.

    Parameters
    ----------
    fired : dict of str to numpy.ndarray
        By operand: bool (batch, time, size), the columns that are multiplied. False beyond a
        sequence's end.
    saturated : dict of str to int
        By rescale node: how many values its format cut off.
    """

    fired: dict[str, Array]
    saturated: dict[str, int]


@dataclass(frozen=True)
class LayerRun:
    """Int64 outputs (time, batch, units) of a layer, of which timesteps beyond a sequence's length
    mean nothing; by name, states (batch, size) that sequences leave; and what happened inside, if
    that was asked for.
    """

    outputs: Array
    states: dict[str, Array]
    trace: LayerTrace | None


class Watch(Protocol):
    """Is told what happens inside a layer."""

    def cut(self, time: int, name: str, cut: Array) -> None:
        """Where (batch, size) a rescale node saturates; before :meth:`step` of the timestep."""

    def step(self, time: int, values: Values) -> None:
        """Values of all nodes in a timestep but affines, which their rescale nodes stand for.

        The mapping changes afterwards, its arrays don't.
        """


def run_layer(
    layer: IntegerLayer,
    values: Array,
    lengths: Array,
    states: LoadedStates | None = None,
    *,
    trace: bool = False,
) -> LayerRun:
    """Run a layer over int64 (time, batch, features), of sequences with ``lengths`` (batch,)."""
    counter = _Counter(values.shape[:2]) if trace else None
    model = _LayerModel(layer, counter)
    outputs, used = model.run(values, states, lengths)
    if counter is None:
        return LayerRun(outputs, model.finals, None)
    living = np.arange(len(values))[:, None] < lengths
    loaded = np.zeros(len(lengths), dtype=bool)
    if states is not None and layer.name in states.values:
        loaded = states.sequences
    fired = {
        operand.name: fired_columns(layer, operand, used[operand.name], loaded) & living[:, :, None]
        for operand in layer.operands
    }
    saturated = {name: int(count[living].sum()) for name, count in counter.saturated.items()}
    found = LayerTrace({name: f.swapaxes(0, 1) for name, f in fired.items()}, saturated)
    return LayerRun(outputs, model.finals, found)


def watch_layer(
    layer: IntegerLayer, values: Array, watch: Watch | None
) -> tuple[Array, dict[str, Array]]:
    """Run a layer over int64 (time, batch, features).

    Returns int64 (time, batch, units) and, by operand, the values (time, batch, size) that its
    products stand for: with a threshold the ones that were last used.
    """
    return _LayerModel(layer, watch).run(values)


class _Counter:
    """Counts the values that each rescale node cuts off, (time, batch)."""

    def __init__(self, shape: tuple[int, ...]):
        self._shape = shape
        self.saturated: dict[str, Array] = {}

    def cut(self, time: int, name: str, cut: Array) -> None:
        counts = self.saturated.setdefault(name, np.zeros(self._shape, dtype=np.int64))
        counts[time] = cut.sum(axis=-1)

    def step(self, time: int, values: Values) -> None:
        pass


class _LayerModel:
    """One layer, its graph turned into a flat list of NumPy calls for each stage."""

    def __init__(self, layer: IntegerLayer, watch: Watch | None):
        self.layer = layer
        self._watch = watch
        self._count = None if watch is None else self._cut
        self._time = 0
        self.finals: dict[str, Array] = {}  # states that sequences leave
        self._ahead: dict[str, Array] = {}  # where the rounding of the input cuts off
        self._gates = GateSums(layer)
        graph = layer.graph
        summed = {graph.readers(position)[0] for position, _ in graph.of(Affine)}
        self._known = [o for o in layer.operands if isinstance(graph.nodes[o.source], Input)]
        self._waiting = [o for o in layer.operands if o not in self._known]
        states = [o for o in self._waiting if o.node != o.source]
        self._before = self._steps(operand.node for operand in states)
        self._walks = sum(stage.multiplies for stage in layer.stages)
        self._stages = [
            (
                [layer.operands[p] for p in stage.operands if layer.operands[p] in self._waiting],
                self._steps(p for p in stage.nodes if p not in summed),
            )
            for stage in layer.stages
        ]

    def _steps(self, positions: Iterable[int]) -> list[tuple[int, Step]]:
        return [(p, elementwise_step(self.layer, p, self._count)) for p in sorted(positions)]

    def _cut(self, name: str, cut: Array) -> None:
        assert self._watch is not None
        self._watch.cut(self._time, name, cut)

    def run(
        self, inputs: Array, states: LoadedStates | None = None, lengths: Array | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs (time, batch, units) and, by operand, the values its kept sums stand for."""
        layer, graph = self.layer, self.layer.graph
        steps, batch, _ = inputs.shape
        used = {o.name: held_values(layer, o, self._rounded(o, inputs)) for o in self._known}
        history = {o.name: np.zeros((steps, batch, o.size), np.int32) for o in self._waiting}
        outputs = np.empty((steps, batch, layer.units), dtype=np.int64)
        values = self._initial_values(batch, states)
        following = [(p, graph.next_of(p)) for p, _ in graph.of(State)]
        ends = _by_end(lengths)
        chunk = max(1, CHUNK_ELEMENTS // (batch * layer.pixels * self._gates.total))
        for first in range(0, steps, chunk):
            times = slice(first, first + chunk)
            ahead = self._gates.ahead([(o, used[o.name][times]) for o in self._known])
            for time, sums in enumerate(ahead, first):
                self._time = time
                values[graph.input[0]] = inputs[time]
                for name, cut in self._ahead.items() if self._watch else ():
                    self._cut(name, cut[time])
                for at, step in self._before:
                    values[at] = step(values)
                for number, (operands, equations) in enumerate(self._stages):
                    for operand in operands:
                        held = self._used(operand, values[operand.node], history[operand.name])
                        self._gates.add(sums, operand, held)
                    if number < self._walks:
                        self._gates.round(sums, number, values, self._count)
                    for at, step in equations:
                        values[at] = step(values)
                outputs[time] = values[graph.output]
                if self._watch:
                    self._watch.step(time, values)
                moved = [values[source] for _, source in following]
                for (target, _), value in zip(following, moved, strict=True):
                    values[target] = value
                if (ending := ends.get(time)) is not None:
                    self._leave(values, ending, batch)
        return outputs, used | history

    def _rounded(self, operand: Operand, inputs: Array) -> Array:
        """The input (time, batch, size) as it is multiplied."""
        if operand.node == operand.source:
            return inputs

        step = elementwise_step(self.layer, operand.node, self._ahead.__setitem__)
        return step({operand.source: inputs})

    def _used(self, operand: Operand, value: Array, history: Array) -> Array:
        """What a timestep's value counts as; it is noted in the history."""
        time = self._time
        given = not time and isinstance(self.layer.graph.nodes[operand.source], State)
        if not given:
            before = history[time - 1] if time else np.zeros_like(value)
            value = hold(self.layer, operand, value, before)
        history[time] = value
        return value

    def _leave(self, values: Values, ending: Array, batch: int) -> None:
        """Note the states that the sequences which end here leave."""
        for position, state in self.layer.graph.of(State):
            if state.name not in self.finals:
                self.finals[state.name] = np.empty((batch, state.size), dtype=np.int64)
            self.finals[state.name][ending] = values[position][ending]

    def _initial_values(self, batch: int, states: LoadedStates | None) -> Values:
        """States before a sequence, and constants."""
        values: Values = {}
        given = {} if states is None else states.values.get(self.layer.name, {})
        for position, state in self.layer.graph.of(State):
            assert state.format is not None
            start = np.broadcast_to(self.layer.initial_state(state), (batch, state.size))
            if states is not None and state.name in given:
                start = np.where(states.sequences[:, None], given[state.name], start)
            values[position] = start.astype(integer_type(state.format))
        for position, constant in self.layer.graph.of(Constant):
            assert constant.format is not None
            kind = integer_type(constant.format)
            values[position] = self.layer.constants[constant.name].astype(kind)
        return values


def _by_end(lengths: Array | None) -> dict[int, Array]:
    """By a timestep: the sequences whose last one it is."""
    if lengths is None:
        return {}
    return {int(end) - 1: np.flatnonzero(lengths == end) for end in np.unique(lengths)}
