"""The golden model: what every bit of the hardware has to be. NumPy alone.

Vectorised over the batch. Integer matrix products go through floating-point BLAS in the narrowest
type that holds the proven bound of every partial sum exactly; all else is integer arithmetic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..compiler.graph import Affine, Constant, Input, State
from ..compiler.integer import IntegerLayer, IntegerNetwork, Operand, Skip
from ..compiler.integer_attention import IntegerAttention
from ..compiler.states import LoadedStates
from ..compiler.streams import StreamLayer
from ..compiler.wiring import INPUT
from .attention_golden import run_attention
from .elementwise import Step, Values, elementwise_step, integer_type
from .gates import GateSums
from .stream_golden import run_stream_layer

__all__ = [
    "GoldenRun",
    "LayerRun",
    "LayerTrace",
    "Stream",
    "Watch",
    "padded",
    "run",
    "run_layer",
    "run_part",
    "selected",
    "watch_layer",
]

Array = np.ndarray
Stream = tuple[Array, Array]
"""Values, int64 (time, batch, features), and the timesteps of each sequence, (batch,)."""

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
class GoldenRun:
    """Outputs and final states of a network, and traces of its layers if they were asked for.

    Parameters
    ----------
    outputs : list of numpy.ndarray
        For each sequence int64 (time, features); time is 1 where a layer gives one vector a
        sequence.
    states : dict of str to dict of str to numpy.ndarray
        By layer and state, int64 (batch, size): what each sequence's last timestep leaves.
    traces : dict of str to LayerTrace
        By layer name.
    """

    outputs: list[Array]
    states: dict[str, dict[str, Array]]
    traces: dict[str, LayerTrace]


class Watch(Protocol):
    """Is told what happens inside a layer."""

    def cut(self, time: int, name: str, cut: Array) -> None:
        """Where (batch, size) a rescale node saturates; before :meth:`step` of the timestep."""

    def step(self, time: int, values: Values) -> None:
        """Values of all nodes in a timestep but affines, which their rescale nodes stand for.

        The mapping changes afterwards, its arrays don't.
        """


def run(
    network: IntegerNetwork,
    sequences: Sequence[Array],
    states: LoadedStates | None = None,
    *,
    trace: bool = False,
) -> GoldenRun:
    """Run integer sequences, each (time, features), through every layer.

    Where there is a memory, they are in turn one of it and one of the input.

    A state that a sequence is given counts exactly, whatever the threshold: its products are
    summed in the first timestep.
    """
    traces = {}
    finals = {}
    streams = {
        name: padded(network, own, name) for name, own in network.by_input(sequences).items()
    }
    for layer in network.layers:
        streams[layer.name], found = run_part(network, layer, streams, states, trace=trace)
        if found is not None and found.states:
            finals[layer.name] = found.states
        if found is not None and found.trace is not None:
            traces[layer.name] = found.trace
    values, lengths = streams[network.layers[-1].name]
    outputs = [values[:length, place] for place, length in enumerate(lengths)]
    return GoldenRun(outputs, finals, traces)


def padded(network: IntegerNetwork, sequences: Sequence[Array], name: str = INPUT) -> Stream:
    """An input of a network, checked."""
    taken = network.inputs[name]
    taken.check(sequences)
    lengths = np.array([len(sequence) for sequence in sequences])
    values = np.zeros((lengths.max(), len(lengths), taken.size), dtype=np.int64)
    for place, sequence in enumerate(sequences):
        values[: lengths[place], place] = sequence
    return values, lengths


@dataclass(frozen=True)
class LayerRun:
    """Int64 outputs (time, batch, units) of a layer, of which timesteps beyond a sequence's length
    mean nothing; by name, states (batch, size) that sequences leave; and what happened inside, if
    that was asked for.
    """

    outputs: Array
    states: dict[str, Array]
    trace: LayerTrace | None


def run_part(
    network: IntegerNetwork,
    layer: IntegerLayer | StreamLayer,
    streams: Mapping[str, Stream],
    states: LoadedStates | None = None,
    *,
    trace: bool = False,
) -> tuple[Stream, LayerRun | None]:
    """What a layer of a network makes of the streams that it takes, and its run if it computes."""
    sources = network.sources[layer.name]
    values, lengths = streams[sources[0]]
    if isinstance(layer, IntegerLayer):
        found = run_layer(layer, values, lengths, states, trace=trace)
        return (found.outputs, lengths), found
    if isinstance(layer, IntegerAttention):
        given = [streams[source] for source in sources]
        outputs, fired, cut = run_attention(
            layer, [v for v, _ in given], [n for _, n in given], trace=trace
        )
        attended = LayerTrace(fired, {"output": cut}) if trace else None
        return (outputs, lengths), LayerRun(outputs, {}, attended)
    formats = [network.formats[source] for source in sources]
    taken = [streams[source][0] for source in sources]
    return run_stream_layer(layer, taken, formats, lengths), None


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
        operand.name: _fired(layer, operand, used[operand.name], loaded) & living[:, :, None]
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


def _fired(layer: IntegerLayer, operand: Operand, used: Array, loaded: Array) -> Array:
    """Which columns are multiplied, given the values (time, batch, size) that they stand for.

    ``loaded`` (batch,) are the sequences whose state was given. The state that others start from
    is never listed: sums start with its products.
    """
    match layer.skip:
        case Skip.ZERO:
            fired = used != 0
        case Skip.DELTA:
            fired = np.diff(used, axis=0, prepend=0) != 0
        case Skip.TOP_K:
            assert operand.kept is not None
            # Where fewer differ than are kept, the first of the others fill the list.
            fired = selected(np.diff(used, axis=0, prepend=0), operand.kept)
        case Skip.NONE:
            fired = np.ones(used.shape, dtype=bool)
    if isinstance(layer.graph.nodes[operand.source], State):
        if layer.skip is Skip.TOP_K:
            fired[0] = used[0] != 0  # a state that is given counts whole
        fired[0] &= loaded[:, None]
    return fired


def selected(differences: Array, count: int) -> Array:
    """Where the ``count`` largest of some differences (..., size) are; the first of equal ones."""
    order = np.argsort(-abs(differences), axis=-1, kind="stable")[..., :count]
    found = np.zeros(differences.shape, dtype=bool)
    np.put_along_axis(found, order, True, axis=-1)
    return found


def hold(layer: IntegerLayer, operand: Operand, value: Array, before: Array) -> Array:
    """What products of a value (batch, size) stand for, given what they stood for before."""
    difference = value - before
    match layer.skip:
        case Skip.DELTA if operand.theta > 1:
            kept = abs(difference) >= operand.theta
        case Skip.TOP_K if operand.selected:
            kept = selected(difference, operand.selected)
        case _:
            return value
    return np.where(kept, value, before)


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
        used = {o.name: _held(layer, o, self._rounded(o, inputs)) for o in self._known}
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


def _held(layer: IntegerLayer, operand: Operand, inputs: Array) -> Array:
    """What the kept sums stand for: the input, or with a threshold the value last used."""
    if (layer.skip is not Skip.DELTA or operand.theta <= 1) and not operand.selected:
        return inputs
    held = np.empty_like(inputs)
    before = np.zeros_like(inputs[0])
    for time, value in enumerate(inputs):
        before = hold(layer, operand, value, before)
        held[time] = before
    return held
