"""What every edge of a quantized network carries, beside the same edge in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.evaluate import Layout, evaluate
from ..compiler.fixed import Format, requantize
from ..compiler.graph import Affine, Constant, Input, Node, Rescale, State
from ..compiler.integer import IntegerLayer
from ..compiler.integer_network import IntegerNetwork
from ..compiler.network import Layer, Network
from ..compiler.wiring import INPUT, MEMORY
from . import golden, layer_golden
from .elementwise import Values

__all__ = ["Edge", "measure_edges"]

MAX_CELLS = 1 << 24
"""Float values of all edges that are held at a time, a batch of sequences each."""


@dataclass
class Edge:
    """One edge over all sequences, timestep by timestep.

    Parameters
    ----------
    layer, node : str
        A cell and one of its nodes; or a stream, by the name of its layer, and nothing.
    kind : str
        ``stream``, ``input``, ``operand`` (what products take), ``gate`` (a rounded sum of
        products), ``state`` or ``value``.
    format : Format
        Of its integers.
    signal, noise, count : numpy.ndarray
        (time,): sums of squares of the real values and of what the integers are off by, and how
        many values there were.
    leaves : bool
        Whether it is a cell's output.
    saturated : int
        Values that the format cut off, of those that it rounds.
    """

    layer: str
    node: str
    kind: str
    format: Format
    signal: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    leaves: bool = False
    saturated: int = 0

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.node}" if self.node else self.layer

    @property
    def ratio(self) -> float:
        """Signal-to-quantization-noise ratio in dB; infinite without noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 10 * np.log10(self.signal.sum() / self.noise.sum())
        return float(np.inf if not self.noise.any() else found)

    @property
    def errors(self) -> np.ndarray:
        """Root-mean-square error of each timestep (time,)."""
        return np.sqrt(self.noise / np.maximum(self.count, 1))

    @property
    def worst_timestep(self) -> int:
        """The one with the largest error, the first of equals."""
        return int(self.errors.argmax())

    @property
    def total(self) -> int:
        """Values of all timesteps."""
        return int(self.count.sum())

    def add(self, time: int, real: np.ndarray, found: np.ndarray) -> None:
        self.signal[time] += np.square(real).sum()
        self.noise[time] += np.square(found - real).sum()
        self.count[time] += real.size


def measure_edges(
    network: IntegerNetwork,
    reference: Network,
    given: Mapping[str, Sequence[np.ndarray]],
    say: Callable[[str], None] | None = None,
) -> list[Edge]:
    """Run both networks on the same sequences by input, float64 (time, features), and compare.

    ``reference`` is that of :func:`~deltaloom.sim.reference.reference_network`. Edges come in the
    order in which the network computes them.
    """
    nodes = sum(node.size for layer in network.computing for node in layer.graph.nodes)
    steps = max(1, MAX_CELLS // max(nodes, 1))
    lengths = np.array([[len(sequence) for sequence in own] for own in given.values()])
    observer = _Observer(network, int(lengths.max()))
    first, count = 0, lengths.shape[1]
    while first < count:
        ends = np.cumsum(lengths[:, first:].sum(axis=0))
        end = first + max(1, int(np.searchsorted(ends, steps, side="right")))
        batch = {name: own[first:end] for name, own in given.items()}
        first = min(end, count)
        if say:
            say(f"Edges, {first} of {count} sequences")
        observer.compare(reference, batch)
    return list(observer.edges.values())


class _Observer:
    """Compares what the golden model computes with what the float network has computed."""

    def __init__(self, network: IntegerNetwork, steps: int):
        self._network = network
        self._steps = steps
        self._real: dict[tuple[str, str], np.ndarray] = {}
        self.edges: dict[tuple[str, str], Edge] = {}

    def compare(self, reference: Network, given: Mapping[str, Sequence[np.ndarray]]) -> None:
        self._real = {}

        def observe(layer: Layer, node: Node, values: np.ndarray) -> None:
            self._real[layer.name, node.name] = values

        def observe_stream(name: str, values: np.ndarray) -> None:
            self._real[name, ""] = values

        evaluate(reference, given[INPUT], observe, observe_stream, memory=given.get(MEMORY))
        streams = {}
        for name, own in given.items():
            format = self._network.formats[name]
            integers = [format.quantize(sequence) for sequence in own]
            streams[name] = golden.padded(self._network, integers, name)
            self.stream(name, *streams[name])
        for part in self._network.layers:
            if isinstance(part, IntegerLayer):
                values, lengths = streams[self._network.sources[part.name][0]]
                watch = _Comparison(self, part, Layout.of(lengths.tolist()))
                streams[part.name] = layer_golden.watch_layer(part, values, watch)[0], lengths
            else:
                streams[part.name], _ = golden.run_part(self._network, part, streams)
                self.stream(part.name, *streams[part.name])

    def stream(self, name: str, values: np.ndarray, lengths: np.ndarray) -> None:
        """Compare a stream that is no cell's; those of cells have their output's edge."""
        format = self._network.formats[name]
        edge = self.edge(name, "", "stream", format)
        layout = Layout.of(lengths.tolist())
        start = 0
        for time, alive in enumerate(layout.alive.tolist()):
            real = self._real[name, ""][start : start + alive]
            edge.add(time, real, format.dequantize(values[time][layout.order[:alive]]))
            start += alive

    def real(self, layer: str, node: str) -> np.ndarray:
        return self._real[layer, node]

    def edge(self, layer: str, node: str, kind: str, format: Format) -> Edge:
        if (layer, node) not in self.edges:
            signal, noise, count = (np.zeros(self._steps) for _ in range(3))
            self.edges[layer, node] = Edge(layer, node, kind, format, signal, noise, count)
        return self.edges[layer, node]


class _Comparison:
    """Of one cell in one batch of sequences."""

    def __init__(self, observer: _Observer, layer: IntegerLayer, layout: Layout):
        self._layer, self._layout = layer, layout
        self._starts = np.concatenate([[0], np.cumsum(layout.alive)])
        self._edges = [
            (position, node, observer.edge(layer.name, node.name, kind_of(layer, position), format))
            for position, node in enumerate(layer.graph.nodes)
            if not isinstance(node, Affine | Constant) and (format := node.format) is not None
        ]
        self._real = {node.name: observer.real(layer.name, node.name) for _, node, _ in self._edges}
        graph = layer.graph
        observer.edges[layer.name, graph.nodes[graph.output].name].leaves = True
        self._by_name = {node.name: edge for _, node, edge in self._edges}

    def cut(self, time: int, name: str, cut: np.ndarray) -> None:
        if time < len(self._layout.alive):
            alive = self._layout.order[: self._layout.alive[time]]
            self._by_name[name].saturated += int(np.count_nonzero(cut[alive]))

    def step(self, time: int, values: Values) -> None:
        if time >= len(self._layout.alive):
            return
        alive = self._layout.order[: self._layout.alive[time]]
        rows = slice(self._starts[time], self._starts[time + 1])
        for position, node, edge in self._edges:
            found = values[position] if position in values else self._rounded(node, values)
            edge.add(time, self._real[node.name][rows], edge.format.dequantize(found[alive]))

    def _rounded(self, node: Node, values: Values) -> np.ndarray:
        """The rounding of the input, which the golden model has for all timesteps at once."""
        assert isinstance(node, Rescale)
        source = self._layer.graph.nodes[node.operand].format
        assert source is not None
        assert node.format is not None
        return requantize(values[node.operand], source, node.format)


def kind_of(layer: IntegerLayer, position: int) -> str:
    """What a node is to the reader of a table."""
    graph = layer.graph
    node = graph.nodes[position]
    if isinstance(node, Input):
        return "input"
    if any(operand.node == position for operand in layer.operands):
        return "operand"
    if isinstance(node, State) or position in graph.next_states:
        return "state"
    if isinstance(node, Rescale) and isinstance(graph.nodes[node.operand], Affine):
        return "gate"
    return "value"
