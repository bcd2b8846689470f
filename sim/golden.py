"""The golden model: what every bit of the hardware has to be. NumPy alone.

Vectorised over the batch. Integer matrix products go through floating-point BLAS in the narrowest
type that holds the proven bound of every partial sum exactly; all else is integer arithmetic.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.errors import DeltaloomError
from ..compiler.fixed import Format
from ..compiler.graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Input,
    Mul,
    Node,
    Rescale,
    State,
    Sub,
)
from ..compiler.integer import IntegerLayer, IntegerNetwork, Operand, Skip
from ..compiler.network import LastStep

__all__ = ["GoldenRun", "LayerTrace", "run", "run_layer"]

Array = np.ndarray
Step = Callable[[dict[int, Array]], Array]
CHUNK_ELEMENTS = 1 << 23  # pre-activations computed ahead of the recurrence, at the most


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
    """Outputs of a network, and traces of its layers if they were asked for.

    Parameters
    ----------
    outputs : list of numpy.ndarray
        For each sequence int64 (time, features); time is 1 after a selection of the last step.
    traces : dict of str to LayerTrace
        By layer name.
    """

    outputs: list[Array]
    traces: dict[str, LayerTrace]


def run(network: IntegerNetwork, sequences: Sequence[Array], *, trace: bool = False) -> GoldenRun:
    """Run integer sequences, each (time, features), through every layer."""
    lengths = np.array([len(sequence) for sequence in sequences])
    if not len(lengths) or not lengths.all():
        raise DeltaloomError("Input must hold at least one sequence of at least one timestep")
    values = np.zeros((lengths.max(), len(lengths), network.input_size), dtype=np.int64)
    for place, sequence in enumerate(sequences):
        if sequence.ndim != 2 or sequence.shape[1] != network.input_size:
            raise DeltaloomError(
                f"Input must have shape (time, {network.input_size}), not {sequence.shape}"
            )
        if not network.input_format.holds(sequence):
            raise DeltaloomError(f"Input integers must lie within {network.input_format}")
        values[: lengths[place], place] = sequence
    traces = {}
    for layer in network.layers:
        if isinstance(layer, LastStep):
            values = values[lengths - 1, np.arange(len(lengths))][None]
            lengths = np.ones_like(lengths)
        else:
            values, found = run_layer(layer, values, lengths if trace else None)
            if found is not None:
                traces[layer.name] = found
    outputs = [values[:length, place] for place, length in enumerate(lengths)]
    return GoldenRun(outputs, traces)


def run_layer(
    layer: IntegerLayer, values: Array, lengths: Array | None = None
) -> tuple[Array, LayerTrace | None]:
    """Run a layer over int64 (time, batch, features); traces it if ``lengths`` (batch,) is given.

    Returns int64 (time, batch, units); timesteps beyond a sequence's length mean nothing.
    """
    model = _LayerModel(layer, traced=lengths is not None)
    outputs, used = model.run(values)
    if lengths is None:
        return outputs, None
    living = np.arange(len(values))[:, None] < lengths
    fired = {
        operand.name: _fired(layer, operand, used[operand.name]) & living[:, :, None]
        for operand in layer.operands
    }
    saturated = {name: int(count[living].sum()) for name, count in model.saturated.items()}
    return outputs, LayerTrace({name: f.swapaxes(0, 1) for name, f in fired.items()}, saturated)


def _fired(layer: IntegerLayer, operand: Operand, used: Array) -> Array:
    """Which columns are multiplied, given the values (time, batch, size) that they stand for."""
    match layer.skip:
        case Skip.ZERO:
            return used != 0
        case Skip.DELTA:
            return np.diff(used, axis=0, prepend=0) != 0
        case Skip.NONE:
            fired = np.ones(used.shape, dtype=bool)
            if isinstance(layer.graph.nodes[operand.source], State):
                fired[0] = False  # the first timestep's state is zero and never listed
            return fired


def _integer_type(format: Format) -> type[np.signedinteger]:
    return np.int32 if format.width + int(not format.signed) <= 32 else np.int64


class _LayerModel:
    """One layer, its graph turned into a flat list of NumPy calls."""

    def __init__(self, layer: IntegerLayer, *, traced: bool):
        self.layer = layer
        self.traced = traced
        self.saturated: dict[str, Array] = {}
        self._time = 0
        self._place_rows()
        self._stack_weights()
        graph = layer.graph
        fused = {graph.readers(position)[0] for position, _ in graph.of(Affine)}
        self.steps: list[tuple[int, Step]] = []
        for position, node in enumerate(graph.nodes):
            if not isinstance(node, Input | State | Constant | Affine) and position not in fused:
                self.steps.append((position, self._step(position, node)))

    def _place_rows(self) -> None:
        """Order the gates so that those of each operand stand together, as far as that goes."""

        def order(entry: tuple[int, Affine]) -> tuple[bool, ...]:
            names = {self.layer.operand_of(path).name for path in entry[1].paths}
            uses = [operand.name in names for operand in self.layer.operands]
            return (not uses[0], *uses[1:])

        self.affines = sorted(self.layer.graph.of(Affine), key=order)
        ends = np.cumsum([affine.size for _, affine in self.affines])
        self.rows = {
            position: slice(int(end) - affine.size, int(end))
            for (position, affine), end in zip(self.affines, ends, strict=True)
        }
        self.total = int(ends[-1])

    def _stack_weights(self) -> None:
        """Matrices, scaled so that a sum comes out in units of its rescaled format."""
        layer, graph = self.layer, self.layer.graph
        bound = 0
        self.constant = np.zeros(self.total)
        self.low, self.high = np.zeros(self.total), np.zeros(self.total)
        self.slabs: dict[str, slice] = {}
        scales = {}
        for position, affine in self.affines:
            rows = self.rows[position]
            (reader,) = graph.readers(position)
            target = graph.nodes[reader].format
            assert affine.format is not None
            assert target is not None
            shift = affine.format.frac - target.frac
            half = (1 << shift) >> 1 if shift > 0 else 0
            scales[position] = 2.0**-shift
            bias = layer.biases[affine.name]
            self.constant[rows] = (bias + half) * scales[position]
            self.low[rows], self.high[rows] = target.min, target.max
            bound = max(bound, layer.sum_bound(affine) + int(np.abs(bias).max()) + half)
            for path in affine.paths:
                name = layer.operand_of(path).name
                slab = self.slabs.get(name, rows)
                self.slabs[name] = slice(min(slab.start, rows.start), max(slab.stop, rows.stop))
        assert bound < 1 << 53, "accumulators are exact in float64"
        self.float = np.float32 if bound < 1 << 24 else np.float64
        self.matrices = {}
        for operand in layer.operands:
            slab = self.slabs[operand.name]
            matrix = np.zeros((operand.size, slab.stop - slab.start))
            for position, affine in self.affines:
                rows = self.rows[position]
                for path in affine.paths:
                    if layer.operand_of(path) == operand:
                        weights = layer.weights[affine.key(path)].T
                        columns = slice(rows.start - slab.start, rows.stop - slab.start)
                        aligned = weights * 2.0 ** layer.shift(affine, path)
                        matrix[:, columns] = aligned * scales[position]
            self.matrices[operand.name] = matrix.astype(self.float)
        self.constant, self.low, self.high = (
            values.astype(self.float) for values in (self.constant, self.low, self.high)
        )

    def _step(self, position: int, node: Node) -> Step:
        """The NumPy form of one element-wise node."""
        assert node.format is not None
        kind = _integer_type(node.format)
        nodes = self.layer.graph.nodes

        def aligned(operand: int) -> Callable[[dict[int, Array]], Array]:
            source = nodes[operand].format
            assert source is not None
            assert node.format is not None
            factor = kind(1 << (node.format.frac - source.frac))
            if factor == 1:
                return lambda values: values[operand]
            return lambda values: np.multiply(values[operand], factor, dtype=kind)

        match node:
            case Add():
                a, b = aligned(node.a), aligned(node.b)
                return lambda values: np.add(a(values), b(values), dtype=kind)
            case Sub():
                a, b = aligned(node.a), aligned(node.b)
                return lambda values: np.subtract(a(values), b(values), dtype=kind)
            case Mul():
                a_at, b_at = node.a, node.b
                return lambda values: np.multiply(values[a_at], values[b_at], dtype=kind)
            case Activation(function="relu"):
                at = node.operand
                return lambda values: np.maximum(values[at], 0)
            case Activation():
                table = self.layer.tables[node.name]
                codes = np.arange(table.source.min, table.source.max + 1)
                results = np.roll(table(codes).astype(kind), table.source.min)  # index -1 is -1
                at = node.operand
                return lambda values: results.take(values[at], mode="wrap")
            case Rescale():
                return self._rescale(node)
        raise AssertionError(f"no integer form of {node}")

    def _rescale(self, node: Rescale) -> Step:
        source, target = self.layer.graph.nodes[node.operand].format, node.format
        assert source is not None
        assert target is not None
        kind, at = _integer_type(target), node.operand
        shift = source.frac - target.frac
        half = (1 << shift) >> 1 if shift > 0 else 0
        # Before a left shift the value is cut where the shifted one saturates anyway.
        low, high = (target.min >> -shift, target.max >> -shift) if shift < 0 else (0, 0)

        def step(values: dict[int, Array]) -> Array:
            value = values[at].astype(np.int64, copy=False)
            if shift > 0:
                value = (value + half) >> shift
            elif shift < 0:
                value = np.clip(value, low - 1, high + 1) << -shift
            cut = np.minimum(np.maximum(value, target.min), target.max)
            if self.traced:
                self._count(node.name, cut != value)
            return cut.astype(kind)

        return step

    def _count(self, name: str, cut: Array) -> None:
        counts = self.saturated.setdefault(name, np.zeros(self._shape, dtype=np.int64))
        counts[self._time] = cut.sum(axis=-1)

    def _ahead(self, used: Iterable[tuple[Operand, Array]], times: slice, batch: int) -> Array:
        """Part of the pre-activations that does not wait for a state: (time, batch, rows)."""
        count = times.stop - times.start
        sums = np.empty((count, batch, self.total), dtype=self.float)
        sums[:] = self.constant
        for operand, values in used:
            flat = values[times].reshape(-1, operand.size).astype(self.float)
            product = (flat @ self.matrices[operand.name]).reshape(count, batch, -1)
            sums[:, :, self.slabs[operand.name]] += product
        return sums

    def run(self, inputs: Array) -> tuple[Array, dict[str, Array]]:
        """Outputs (time, batch, units) and, by operand, the values its kept sums stand for."""
        layer, graph = self.layer, self.layer.graph
        steps, batch, _ = inputs.shape
        self._shape = (steps, batch)
        known, waiting = [], []
        for operand in layer.operands:
            is_input = isinstance(graph.nodes[operand.source], Input)
            (known if is_input else waiting).append(operand)
        used: dict[str, Array] = {o.name: _held(layer, o, inputs) for o in known}
        history = {o.name: np.zeros((steps, batch, o.size), np.int32) for o in waiting}
        outputs = np.empty((steps, batch, layer.units), dtype=np.int64)
        values: dict[int, Array] = {}
        for position, state in graph.of(State):
            assert state.format is not None
            values[position] = np.zeros((batch, state.size), _integer_type(state.format))
        for position, constant in graph.of(Constant):
            assert constant.format is not None
            kind = _integer_type(constant.format)
            values[position] = layer.constants[constant.name].astype(kind)
        following = [(p, graph.next_of(p)) for p, _ in graph.of(State)]
        gates = [(graph.readers(p)[0], self.rows[p]) for p, _ in self.affines]
        derived = [(at, step) for at, step in self.steps if self._before_sums(at)]
        rest = [entry for entry in self.steps if entry not in derived]
        chunk = max(1, CHUNK_ELEMENTS // (batch * self.total))
        for first in range(0, steps, chunk):
            times = slice(first, min(first + chunk, steps))
            ahead = self._ahead([(o, used[o.name]) for o in known], times, batch)
            for time, sums in enumerate(ahead, first):
                self._time = time
                for at, step in derived:
                    values[at] = step(values)
                for operand in waiting:
                    held = values[operand.node]
                    if layer.skip is Skip.DELTA and operand.theta > 1 and time:
                        before = history[operand.name][time - 1]
                        held = np.where(abs(held - before) >= operand.theta, held, before)
                    history[operand.name][time] = held
                    product = held.astype(self.float) @ self.matrices[operand.name]
                    sums[:, self.slabs[operand.name]] += product
                self._pre_activations(sums, gates, values)
                values[graph.input[0]] = inputs[time]
                for at, step in rest:
                    values[at] = step(values)
                outputs[time] = values[graph.output]
                moved = [values[source] for _, source in following]
                for (target, _), value in zip(following, moved, strict=True):
                    values[target] = value
        return outputs, used | history

    def _before_sums(self, position: int) -> bool:
        """Whether a node makes a recurrent operand: a rescaled state."""
        return any(operand.node == position for operand in self.layer.operands)

    def _pre_activations(
        self, sums: Array, gates: list[tuple[int, slice]], values: dict[int, Array]
    ) -> None:
        np.floor(sums, out=sums)
        cut = np.minimum(np.maximum(sums, self.low), self.high)
        integers = cut.astype(np.int32)
        for position, rows in gates:
            values[position] = integers[:, rows]
            if self.traced:
                name = self.layer.graph.nodes[position].name
                self._count(name, cut[:, rows] != sums[:, rows])


def _held(layer: IntegerLayer, operand: Operand, inputs: Array) -> Array:
    """What the kept sums stand for: the input, or with a threshold the value last used."""
    if layer.skip is not Skip.DELTA or operand.theta <= 1:
        return inputs
    held = np.empty_like(inputs)
    before = np.zeros_like(inputs[0])
    for time, value in enumerate(inputs):
        before = np.where(abs(value - before) >= operand.theta, value, before)
        held[time] = before
    return held
