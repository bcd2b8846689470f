"""How a cell is written: equations on symbolic values, traced into a cell graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import ClassVar

from .functions import Function, function_of
from .graph import (
    Add,
    Affine,
    Constant,
    Graph,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Path,
    Reduce,
    Rescale,
    State,
    Sub,
    activation_node,
)

__all__ = [
    "Cell",
    "Value",
    "absolute",
    "constant",
    "inverse",
    "relu",
    "sigmoid",
    "tanh",
    "trace",
    "with_activation",
    "with_output",
]


class Value:
    """A vector within a traced timestep; ``+``, ``-`` and ``*`` are element-wise."""

    def __init__(self, tracer: Tracer, position: int):
        self._tracer = tracer
        self.position = position

    @property
    def scalar(self) -> bool:
        """Whether it follows from sums over vectors alone."""
        return self.position in self._tracer.scalars

    def sum(self) -> Value:
        """Sum over the vector, a scalar, which goes with vectors of any size."""
        name = self._tracer.fresh_name("sum")
        node = Reduce(name=name, size=1, operand=self.position)
        return self._tracer.append(node, scalar=True)

    def rounded(self) -> Value:
        """The same value, which in integers is rounded to the element-wise width here."""
        name = self._tracer.fresh_name("rounded")
        return self._tracer.append(Rescale(name=name, size=self.node.size, operand=self.position))

    def scaled(self, factor: int) -> Value:
        """Product with a positive integer."""
        name = self._tracer.fresh_name("multiple")
        node = Multiple(name=name, size=self.node.size, operand=self.position, factor=factor)
        return self._tracer.append(node, scalar=self.scalar)

    @property
    def node(self) -> Node:
        return self._tracer.nodes[self.position]

    def _binary(self, kind: type[Add] | type[Sub] | type[Mul], other: Value) -> Value:
        if not isinstance(other, Value):
            raise TypeError(f"Operand must be a traced value, not {other!r}")
        scalar = self.scalar or other.scalar
        if self.node.size != other.node.size and not scalar:
            raise ValueError(
                f"Operands must have equal sizes, not {self.node.size} and {other.node.size}"
            )
        name = self._tracer.fresh_name(kind.__name__.lower())
        size = other.node.size if self.scalar else self.node.size
        node = kind(name=name, size=size, a=self.position, b=other.position)
        return self._tracer.append(node, scalar=self.scalar and other.scalar)

    def __add__(self, other: Value) -> Value:
        return self._binary(Add, other)

    def __sub__(self, other: Value) -> Value:
        return self._binary(Sub, other)

    def __mul__(self, other: Value) -> Value:
        return self._binary(Mul, other)

    def named(self, name: str) -> Value:
        """The same value under a name of its own."""
        self._tracer.nodes[self.position] = replace(self.node, name=name)
        return self

    def apply(self, function: Function | str) -> Value:
        """An element-wise function, or the one of that name in :mod:`.functions`."""
        function = function_of(function) if isinstance(function, str) else function
        node = activation_node(function, name="", size=self.node.size, operand=self.position)
        node = replace(node, name=self._tracer.fresh_name(function.stem))
        return self._tracer.append(node, scalar=self.scalar)


class Tracer:
    """Collects the nodes of one timestep."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.scalars: set[int] = set()

    def append(self, node: Node, *, scalar: bool = False) -> Value:
        if scalar:
            self.scalars.add(len(self.nodes))
        self.nodes.append(node)
        return Value(self, len(self.nodes) - 1)

    def fresh_name(self, stem: str) -> str:
        names = {node.name for node in self.nodes}
        return next(name for n in count() if (name := f"{stem}{n}") not in names)


def sigmoid(value: Value) -> Value:
    """Logistic function 1 / (1 + exp(-value))."""
    return value.apply("sigmoid")


def tanh(value: Value) -> Value:
    """Hyperbolic tangent."""
    return value.apply("tanh")


def relu(value: Value) -> Value:
    """max(value, 0)."""
    return value.apply("relu")


def absolute(value: Value) -> Value:
    """Absolute value."""
    return value.apply("abs")


def inverse(value: Value, function: str, epsilon: float) -> Value:
    """Of a scalar: see :class:`~deltaloom.compiler.graph.Inverse`."""
    tracer = value._tracer
    name = tracer.fresh_name("inverse")
    node = Inverse(name=name, size=1, operand=value.position, function=function, epsilon=epsilon)
    return tracer.append(node, scalar=True)


def constant(name: str, beside: Value) -> Value:
    """A learned vector of the size of ``beside``, a value of the same timestep."""
    return beside._tracer.append(Constant(name=name, size=beside.node.size))


class Cell:
    """A recurrent cell: its states' names and the equations of one timestep.

    A subclass sets :attr:`states` and writes :meth:`step`, which takes the input and the previous
    states and returns the next states in the same order. The first value it returns is the
    layer's output: a state, or one value more than there are states.
    """

    states: ClassVar[tuple[str, ...]] = ()

    def __init__(self, input_size: int, hidden_size: int):
        for what, size in (("Input size", input_size), ("Hidden size", hidden_size)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{what} must be a positive integer, not {size!r}")
        self.input_size = input_size
        self.hidden_size = hidden_size

    def step(self, x: Value, *states: Value) -> Value | tuple[Value, ...]:
        raise NotImplementedError

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Elements of each state; a cell whose states differ overrides it."""
        return (self.hidden_size,) * len(self.states)

    def affine(self, name: str, *operands: Value, rows: int | None = None) -> Value:
        """Sum of a matrix-vector product for each operand, and a bias.

        It has ``hidden_size`` elements unless ``rows`` says otherwise. An operand is the input, a
        state, or any value of the timestep, which is best given a name with :meth:`Value.named`.
        """
        paths = tuple(Path(name=o.node.name, operand=o.position) for o in operands)
        tracer = operands[0]._tracer
        return tracer.append(Affine(name=name, size=rows or self.hidden_size, paths=paths))

    def constant(self, name: str, beside: Value) -> Value:
        """A learned vector of the size of ``beside``, a value of the same timestep."""
        return constant(name, beside)


def trace(cell: Cell) -> Graph:
    """Run the cell's equations once on symbolic values."""
    tracer = Tracer()
    x = tracer.append(Input(name="x", size=cell.input_size))
    states = [
        tracer.append(State(name=name, size=size))
        for name, size in zip(cell.states, cell.state_sizes, strict=True)
    ]
    results = cell.step(x, *states)
    results = results if isinstance(results, tuple) else (results,)
    apart = len(results) - len(cell.states)  # whether the output is not a state
    if apart not in ((0, 1) if cell.states else (1,)):
        raise ValueError(f"{type(cell).__name__}.step must return {len(cell.states)} states")
    graph = Graph(
        nodes=tuple(replace(node) for node in tracer.nodes),
        next_states=tuple(result.position for result in results[apart:]),
        output=results[0].position,
    )
    graph.check()
    return graph


def with_activation(graph: Graph, function: Function | str) -> Graph:
    """The graph whose output is ``function`` of its output; its states stay as they are."""
    return with_output(graph, lambda output: output.apply(function))


def with_output(graph: Graph, follow: Callable[[Value], Value]) -> Graph:
    """The graph whose output is what ``follow`` makes of its output."""
    tracer = Tracer()
    tracer.nodes.extend(graph.nodes)
    tracer.scalars |= graph.scalars
    output = follow(Value(tracer, graph.output))
    return replace(graph, nodes=tuple(tracer.nodes), output=output.position)
