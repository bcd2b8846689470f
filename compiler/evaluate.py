"""The float interpreter of cell graphs: what a network computes before anything is quantized."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .attention import Attention
from .errors import DeltaloomError
from .fixed import Format
from .graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Graph,
    Inverse,
    Mul,
    Multiple,
    Node,
    Reduce,
    Rescale,
    Scale,
    State,
    Sub,
)
from .inverse import inverse
from .layout import Layout
from .network import Layer, Network
from .states import as_states
from .stream_values import evaluate_attention, evaluate_stream_layer
from .wiring import INPUT, MEMORY, sources_of

__all__ = [
    "FloatRun",
    "Kept",
    "Layout",
    "Observer",
    "StreamObserver",
    "as_pairs",
    "as_sequences",
    "check_counts",
    "evaluate",
    "run",
    "state_dependent",
]

Observer = Callable[[Layer, Node, np.ndarray], None]
"""Takes a layer, one of its graph's nodes and the node's values, float64 (rows, size)."""

Kept = Mapping[str, Mapping[str, Format]]
"""By layer and state: a format of the state."""

StreamObserver = Callable[[str, np.ndarray], None]
"""Takes a stream's name and its vectors, float64 (rows, size)."""


@dataclass(frozen=True)
class FloatRun:
    """Outputs as :func:`evaluate` gives them, and by layer and state what each sequence leaves."""

    outputs: np.ndarray | list[np.ndarray]
    states: dict[str, dict[str, np.ndarray]]


def evaluate(
    network: Network,
    x: Any,
    observe: Observer | None = None,
    observe_stream: StreamObserver | None = None,
    *,
    states: Any = None,
    kept: Kept | None = None,
    memory: Any = None,
) -> np.ndarray | list[np.ndarray]:
    """Run the network in float64.

    Parameters
    ----------
    network : Network
        What to run.
    x : array or sequence of arrays
        NumPy or torch, (batch, time, features); or a list of (time, features) for sequences of
        different lengths.
    observe : callable, optional
        Called as ``observe(layer, node, values)`` once for every node of every layer. ``values``
        is (rows, size) and holds each timestep of each sequence once, laid out as :class:`Layout`
        says and never padded; those of a :class:`State` are the values that the timestep starts
        from. A layer's nodes are all in memory at that moment.
    observe_stream : callable, optional
        Called as ``observe_stream(name, values)`` for the input and the output of every layer.
    states : mapping of str to mapping of str to array, optional
        By layer and state, (batch, size): what the sequences start from. What is left out starts
        as the layer says, from zero if it says nothing.
    kept : mapping of str to mapping of str to Format, optional
        By layer and state: what its values are rounded to from one timestep to the next. States
        that are left out stay as they are.
    memory : array or sequence of arrays, optional
        As ``x``, a sequence for each of its own: for a network with a memory.

    Returns
    -------
    numpy.ndarray or list of numpy.ndarray
        Float64 (batch, time, outputs), or a list of (time, outputs) if ``x`` is a list;
        (batch, outputs) in both cases if the network gives one vector a sequence.
    """
    found = run(network, x, observe, observe_stream, states=states, kept=kept, memory=memory)
    return found.outputs


def run(
    network: Network,
    x: Any,
    observe: Observer | None = None,
    observe_stream: StreamObserver | None = None,
    *,
    states: Any = None,
    kept: Kept | None = None,
    memory: Any = None,
) -> FloatRun:
    """As :func:`evaluate`, with the states that are left."""
    inputs = as_pairs(network.inputs, x, memory)
    sequences = inputs[INPUT]
    given = as_states(states, network.computing, len(sequences))
    finals = {}
    streams = {}
    for name, taken in inputs.items():
        flow = Layout.of([len(sequence) for sequence in taken])
        streams[name] = np.concatenate(list(taken))[flow.source], flow
        if observe_stream:
            observe_stream(name, streams[name][0])
    for layer, sources in zip(network.layers, sources_of(network.layers).values(), strict=True):
        found = [streams[source] for source in sources]
        if isinstance(layer, Layer):
            rows, layout = found[0]
            formats = (kept or {}).get(layer.name, {})
            rows, left = _evaluate_layer(
                layer, rows, layout, observe, given.get(layer.name, {}), formats
            )
            if left:
                finals[layer.name] = left
        elif isinstance(layer, Attention):
            rows, layout = evaluate_attention(layer, found)
        else:
            rows, layout = evaluate_stream_layer(layer, [rows for rows, _ in found], found[0][1])
        if observe_stream:
            observe_stream(layer.name, rows)
        streams[layer.name] = rows, layout
    rows = layout.in_order(rows)
    if network.once:
        return FloatRun(rows, finals)
    outputs = np.split(rows, layout.ends[:-1])
    return FloatRun(np.stack(outputs) if isinstance(sequences, np.ndarray) else outputs, finals)


def as_pairs(
    sizes: Mapping[str, int], x: Any, memory: Any = None
) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Check a network's inputs of these sizes: by name, as :func:`as_sequences` gives them.

    Raises
    ------
    DeltaloomError
        As :func:`as_sequences`, and for a memory that is missing, too much, or has another number
        of sequences.
    """
    if (memory is not None) != (MEMORY in sizes):
        raise DeltaloomError(
            "Memory must be given: the network takes pairs of sequences, of its memory and input"
            if memory is None
            else "Memory must be left out: the network has an input alone"
        )
    found = {INPUT: as_sequences(x, sizes[INPUT])}
    if memory is not None:
        found = {MEMORY: as_sequences(memory, sizes[MEMORY], "Memory"), **found}
        check_counts({name: len(sequences) for name, sequences in found.items()})
    return found


def check_counts(counts: Mapping[str, int]) -> None:
    """Raise unless there are as many sequences of each input."""
    if len(set(counts.values())) > 1:
        raise DeltaloomError(
            f"Memory must have a sequence for each of the input, {counts[INPUT]}, not "
            f"{counts[MEMORY]}"
        )


def as_sequences(x: Any, features: int, what: str = "Input") -> np.ndarray | list[np.ndarray]:
    """Check a network's input: float64 (batch, time, features), or a list of (time, features).

    ``what`` it is, for errors.

    Raises
    ------
    DeltaloomError
        For a wrong shape, an empty batch or sequence, values that are not real numbers or not
        finite.
    """
    if isinstance(x, Sequence):
        if not x:
            raise DeltaloomError(f"{what} must have at least one sequence")
        return [
            _as_array(sequence, ("time", features), what, f"sequence {i}")
            for i, sequence in enumerate(x)
        ]
    return _as_array(x, ("batch", "time", features), what, "it")


def _as_array(x: Any, shape: tuple[str | int, ...], what: str, subject: str) -> np.ndarray:
    if hasattr(x, "detach"):  # a torch tensor; NumPy lacks some of its types
        x = x.detach().cpu().double()
    values = np.asarray(x)
    wanted = f"({', '.join(map(str, shape))})"
    if values.ndim != len(shape) or values.shape[-1] != shape[-1]:
        raise DeltaloomError(f"{what} must have shape {wanted}, but {subject} has {values.shape}")
    if 0 in values.shape:
        raise DeltaloomError(f"{what} must not be empty, but {subject} has shape {values.shape}")
    if values.dtype.kind not in "fiu":
        raise DeltaloomError(f"{what} must be real numbers, but {subject} holds {values.dtype}")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise DeltaloomError(f"{what} must be finite, but {subject} holds NaN or infinity")
    return values


def state_dependent(graph: Graph) -> frozenset[int]:
    """Positions of the states and of every node that reads one, directly or not."""
    found: set[int] = set()
    for position, node in enumerate(graph.nodes):
        if isinstance(node, State) or found.intersection(node.operands):
            found.add(position)
    return frozenset(found)


def _evaluate_layer(
    layer: Layer,
    x: np.ndarray,
    layout: Layout,
    observe: Observer | None,
    given: Mapping[str, np.ndarray],
    formats: Mapping[str, Format],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All rows of the layer's output, and the states that are left.

    What no state reaches is computed for all rows at once.
    """
    graph = layer.graph
    dependent = state_dependent(graph)
    states = [position for position, _ in graph.of(State)]
    weights = {name: np.ascontiguousarray(values.T) for name, values in layer.parameters.items()}

    values = {graph.input[0]: x}
    for position, constant in graph.of(Constant):
        values[position] = np.broadcast_to(layer.parameters[constant.name], (len(x), constant.size))
    sums = {
        affine.name: np.broadcast_to(
            np.tile(layer.parameters[affine.name], affine.pixels), (len(x), affine.size)
        )
        for _, affine in graph.of(Affine)
    }
    recurrence: list[tuple[int, Node]] = []
    for position, node in enumerate(graph.nodes):
        if isinstance(node, Affine):
            ahead = tuple(path for path in node.paths if path.operand not in dependent)
            sums[node.name] = _operate(replace(node, paths=ahead), values, weights, sums)
            node = replace(node, paths=tuple(path for path in node.paths if path not in ahead))
        if position not in dependent and position not in values:
            values[position] = _operate(node, values, weights, sums)
        elif position in dependent and position not in states:
            recurrence.append((position, node))

    kept = dependent if observe else dependent & {graph.output}
    results = {p: np.empty((len(x), graph.nodes[p].size)) for p in kept}
    previous = {}
    for position, state in graph.of(State):
        start = given.get(state.name, layer.initial.get(state.name, np.zeros(state.size)))
        previous[position] = np.broadcast_to(start, (len(layout.ends), state.size))[layout.order]
    rounded = {p: formats[state.name] for p, state in graph.of(State) if state.name in formats}
    left = {position: state.astype(np.float64) for position, state in previous.items()}
    end = 0
    for count in layout.alive if dependent else ():
        rows = slice(end, end + count)
        now = {p: rows_of[rows] for p, rows_of in values.items()}
        now |= {p: state[:count] for p, state in previous.items()}
        starts = {name: sum_ahead[rows] for name, sum_ahead in sums.items()}
        for position, node in recurrence:
            now[position] = _operate(node, now, weights, starts)
        for position in kept:
            results[position][rows] = now[position]
        previous = {p: now[n] for p, n in zip(states, graph.next_states, strict=True)}
        for position, format in rounded.items():
            previous[position] = format.dequantize(format.quantize(previous[position]))
        for position, state in previous.items():
            left[position][:count] = state
        end += count

    values |= results
    if observe:
        for position, node in enumerate(graph.nodes):
            observe(layer, node, values[position])
    back = np.argsort(layout.order)
    return values[graph.output], {graph.nodes[p].name: state[back] for p, state in left.items()}


def _operate(
    node: Node,
    values: Mapping[int, np.ndarray],
    weights: Mapping[str, np.ndarray],
    sums: Mapping[str, np.ndarray],
) -> np.ndarray:
    """A node's value from its operands'; ``sums`` is what an affine's products are added to."""
    match node:
        case Affine(name=name, paths=paths):
            total = sums[name]
            for path in paths:
                total = total + path.product(values[path.operand], weights[node.key(path)])
            return total
        case Add(a=a, b=b):
            return values[a] + values[b]
        case Sub(a=a, b=b):
            return values[a] - values[b]
        case Mul(a=a, b=b):
            return values[a] * values[b]
        case Activation(operand=operand):
            return node.definition(values[operand])
        case Rescale(operand=operand) | Scale(operand=operand):
            return values[operand]  # real weights have their real scale
        case Multiple(operand=operand, factor=factor):
            return values[operand] * factor
        case Reduce(operand=operand):
            return values[operand].sum(axis=-1, keepdims=True)
        case Inverse(operand=operand, function=function, epsilon=epsilon):
            return inverse(function, values[operand], epsilon)
        case _:
            raise TypeError(f"Node must be of a float graph, not {node!r}")
