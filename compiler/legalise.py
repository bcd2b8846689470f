"""Gives every node of a layer's graph its format and puts a rounding where one is needed."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .encodings import UNIT_MULTIPLIER
from .errors import DeltaloomError
from .exact import (
    MAX_EXACT,
    MAX_LEFT,
    MAX_MULTIPLIER,
    MAX_RIGHT,
    MAX_SCALAR,
    Interval,
    combine,
    magnitude,
    rectify,
    repeated,
    rescale,
    scale,
)
from .fixed import Format
from .formats import LayerFormats
from .graph import (
    Activation,
    Affine,
    Binary,
    Constant,
    Graph,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Reduce,
    Rescale,
    Scale,
    State,
)
from .network import Layer
from .pwl import PiecewiseLinear
from .weights import IntegerParameters

__all__ = ["legalise", "prune"]


def prune(graph: Graph) -> Graph:
    """The graph without nodes that neither its output nor a state depends on."""
    needed = {graph.output, *graph.next_states}
    for position in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[position]
        if isinstance(node, Input | State):
            needed.add(position)
        elif position in needed:
            needed.update(node.operands)
    kept = sorted(needed)
    moved = {old: new for new, old in enumerate(kept)}
    return Graph(
        nodes=tuple(graph.with_positions(moved, graph.nodes[old]) for old in kept),
        next_states=tuple(moved[position] for position in graph.next_states),
        output=moved[graph.output],
    )


def legalise(
    layer: Layer,
    formats: LayerFormats,
    parameters: IntegerParameters,
    tables: Mapping[str, PiecewiseLinear],
) -> Graph:
    """The layer's graph with a format on every node.

    Element-wise results are exact. Every reader that needs a format of its own takes one rounding
    of the exact value, and readers that need the same format share it. An affine is rounded once;
    what reads it in several formats takes the element-wise one.

    Parameters
    ----------
    layer : Layer
        Float layer, its graph pruned.
    formats : LayerFormats
        Chosen formats.
    parameters : IntegerParameters
        Formats of weights and accumulators.
    tables : mapping of str to PiecewiseLinear
        By node.
    """
    return Legaliser(layer, formats, parameters, tables).run()


class Legaliser:
    """Copies a graph node by node; ``moved`` maps old positions to those of their exact values."""

    def __init__(
        self,
        layer: Layer,
        formats: LayerFormats,
        parameters: IntegerParameters,
        tables: Mapping[str, PiecewiseLinear],
    ) -> None:
        self.layer = layer
        self.graph = layer.graph
        self.formats = formats
        self.parameters = parameters
        self.tables = tables
        self.nodes: list[Node] = []
        self.intervals: list[Interval] = []
        self.moved: dict[int, int] = {}
        self.rescaled: dict[tuple[int, Format], int] = {}

    def run(self) -> Graph:
        for position, node in enumerate(self.graph.nodes):
            self.moved[position] = self.copy(position, node)
        next_states = tuple(
            self.rounded(following, self.formats.states[state.name])
            for (_, state), following in zip(
                self.graph.of(State), self.graph.next_states, strict=True
            )
        )
        output = self.rounded(self.graph.output, self.formats.output)
        graph = Graph(tuple(self.nodes), next_states, output)
        graph.check()
        return graph

    def copy(self, position: int, node: Node) -> int:
        """Append a node and the roundings of its operands; the position of its value."""
        match node:
            case Input():
                return self.append(node, Interval.of(self.formats.input))
            case Constant(name=name):
                format = self.formats.elementwise[name]
                integers = format.quantize(self.layer.parameters[name])
                interval = Interval(int(integers.min()), int(integers.max()), format.frac)
                return self.append(node, interval, format)
            case State(name=name):
                return self.append(node, Interval.of(self.formats.states[name]))
            case Affine():
                return self.copy_affine(position, node)
            case Activation(function="relu" | "abs"):
                operand = self.narrow(node.operand, self.elementwise_width)
                exact = rectify if node.function == "relu" else magnitude
                interval = exact(self.intervals[operand])
                kept = self.nodes[operand].format if node.function == "relu" else None
                return self.append(replace(node, operand=operand), interval, kept)
            case Reduce() | Multiple():
                operand = self.moved[node.operand]
                count = self.graph.nodes[node.operand].size
                times = count if isinstance(node, Reduce) else node.factor
                interval = repeated(self.intervals[operand], times)
                return self.append(replace(node, operand=operand), interval)
            case Rescale():
                return self.narrow(node.operand, self.elementwise_width)
            case Inverse():
                return self.copy_inverse(node)
            case Activation(name=name):
                table = self.tables[name]
                operand = self.rounded(node.operand, table.source)
                interval = Interval(*table.bounds, table.target.frac)
                looked_up = Activation(
                    name=name, size=node.size, operand=operand, function=node.function
                )
                return self.append(looked_up, interval, table.target)
            case Binary():
                a, b = self.moved[node.a], self.moved[node.b]
                if isinstance(node, Mul):
                    both = {node.a, node.b} <= self.graph.scalars
                    width = MAX_SCALAR if both else MAX_MULTIPLIER
                    a, b = (self.narrow(old, width) for old in (node.a, node.b))
                interval = combine(node, self.intervals[a], self.intervals[b])
                return self.append(replace(node, a=a, b=b), interval)
            case _:
                raise TypeError(f"Node must be of a float graph, not {node!r}")

    def copy_inverse(self, node: Inverse) -> int:
        """The epsilon is rounded to units of the operand."""
        operand = self.moved[node.operand]
        source, target = self.nodes[operand].format, self.formats.elementwise[node.name]
        assert source is not None
        epsilon = np.floor(node.epsilon * 2.0**source.frac + 0.5)
        if epsilon >= 2.0**MAX_EXACT:
            raise DeltaloomError(
                f"Epsilon of {self.layer.name}.{node.name} must be below 2**{MAX_EXACT} units of "
                f"{source}, not {epsilon:.3g}"
            )
        exact = replace(node, operand=operand, epsilon=float(epsilon) * source.scale)
        return self.append(exact, Interval(0, target.max, target.frac), target)

    def copy_affine(self, position: int, node: Affine) -> int:
        paths = tuple(
            replace(
                path,
                operand=self.rounded(path.operand, self.formats.operands[path.name]),
                format=weights.format,
                encoding=weights.encoding,
            )
            for path in node.paths
            for weights in [self.parameters.formats[node.key(path)]]
        )
        format = self.parameters.accumulators[node.name]
        place = self.append(replace(node, paths=paths), Interval.of(format), format)
        target = self.affine_target(position)
        multiplier = self.parameters.formats[node.key(node.paths[0])].multiplier
        if multiplier != UNIT_MULTIPLIER:
            place = self.scaled(node, place, multiplier, target)
        return self.rescale(place, target)

    def scaled(self, node: Node, place: int, multiplier: int, target: Format) -> int:
        """Position of a sum times its gate's real scale.

        The sum is rounded to what a multiplier takes, some bits finer than the target.
        """
        frac = target.frac + MAX_MULTIPLIER - target.width
        operand = self.rescale(place, Format(MAX_MULTIPLIER, frac))
        product = Scale(
            name=f"{node.name}_scaled", size=node.size, operand=operand, multiplier=multiplier
        )
        return self.append(product, scale(self.intervals[operand], multiplier))

    def affine_target(self, position: int) -> Format:
        """The format that all readers of an affine want, or the element-wise one."""
        name = self.graph.nodes[position].name
        own = self.formats.elementwise[name]
        wanted: list[Format] = []
        for reader in (self.graph.nodes[p] for p in self.graph.readers(position)):
            match reader:
                case Activation(name=reader_name) if reader_name in self.tables:
                    wanted.append(self.tables[reader_name].source)
                case Affine():
                    wanted.append(self.formats.operands[name])
                case _:
                    wanted.append(own)
        states = list(self.graph.of(State))
        for (_, state), following in zip(states, self.graph.next_states, strict=True):
            if following == position:
                wanted.append(self.formats.states[state.name])
        if self.graph.output == position:
            wanted.append(self.formats.output)
        return wanted[0] if len(set(wanted)) == 1 else own

    @property
    def elementwise_width(self) -> int:
        """Bits of everything element-wise."""
        return next(iter(self.formats.elementwise.values())).width

    def narrow(self, old: int, width: int) -> int:
        """Position of a value that has at most ``width`` bits, rounded if it has to be."""
        place = self.moved[old]
        if self.intervals[place].format.width <= width:
            return place
        return self.rescale(place, self.formats.elementwise[self.graph.nodes[old].name])

    def rounded(self, old: int, format: Format) -> int:
        """Position of a value in ``format``."""
        place = self.moved[old]
        return place if self.nodes[place].format == format else self.rescale(place, format)

    def rescale(self, place: int, format: Format) -> int:
        """Position of the rounding of a new node to ``format``: an existing one, or a new one."""
        if (place, format) not in self.rescaled:
            node, interval = self.nodes[place], self.intervals[place]
            shift = interval.frac - format.frac
            if not -MAX_LEFT <= shift <= MAX_RIGHT:
                raise DeltaloomError(
                    f"Values of {self.layer.name}.{node.name} must need a shift of at most "
                    f"{MAX_LEFT} bits to the left and {MAX_RIGHT} to the right from "
                    f"{node.format} to {format}, not {shift} to the right: bring weights and "
                    f"inputs to similar scales"
                )
            name = f"{node.name}_s{format.width}_{format.frac}".replace("-", "m")
            self.rescaled[place, format] = self.append(
                Rescale(name=name, size=node.size, operand=place),
                rescale(interval, format),
                format,
            )
        return self.rescaled[place, format]

    def append(self, node: Node, interval: Interval, format: Format | None = None) -> int:
        format = format or interval.format
        if format.width > MAX_EXACT:
            raise DeltaloomError(
                f"Values of {self.layer.name}.{node.name} must have at most {MAX_EXACT} bits to "
                f"be exact, not {format.width}: bring weights and inputs to similar scales"
            )
        self.nodes.append(replace(node, format=format))
        self.intervals.append(interval)
        return len(self.nodes) - 1
