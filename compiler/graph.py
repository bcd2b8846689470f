"""The cell graph: one timestep of a recurrent layer as single-assignment vector operations.

Nodes refer to their operands by position in :attr:`Graph.nodes`. A traced graph has no formats;
quantization gives every node one and inserts the :class:`Rescale` nodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from .convolution import Convolution
from .encodings import Encoding
from .fixed import Format
from .functions import FAMILIES, Function, function_of

__all__ = [
    "EXACT",
    "Activation",
    "Add",
    "Affine",
    "Constant",
    "Graph",
    "Input",
    "Inverse",
    "Mul",
    "Multiple",
    "Node",
    "OwnActivation",
    "Path",
    "Reduce",
    "Rescale",
    "Scale",
    "State",
    "Sub",
    "Unary",
    "activation_node",
]


EXACT = ("relu", "abs")
"""Activations that need no table."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A vector of ``size`` elements, in ``format`` once quantized."""

    name: str
    size: int
    format: Format | None = None

    @property
    def operands(self) -> tuple[int, ...]:
        """Positions of the nodes that this one reads in the same timestep."""
        return ()

    @property
    def table(self) -> str | None:
        """The function whose table it looks up, if any."""
        return None


@dataclass(frozen=True, kw_only=True)
class Input(Node):
    """The layer's input vector of this timestep."""


@dataclass(frozen=True, kw_only=True)
class State(Node):
    """What :attr:`Graph.next_states` gave in the previous timestep; zero in a sequence's first."""


@dataclass(frozen=True, kw_only=True)
class Constant(Node):
    """A learned vector that stays, an element a unit: a peephole, SRU's v_f. Named as the node."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """One matrix-vector product: weights of shape (rows, operand size) times ``operand``.

    With a convolution, the operand and the affine are frames: the weights, of shape (channels of
    the affine, taps * channels of the operand), are multiplied with each pixel's window. Once
    quantized, the weights' integers are of ``format`` and levels of ``encoding``.
    """

    name: str
    operand: int
    format: Format | None = None
    encoding: Encoding | None = None
    convolution: Convolution | None = None

    def columns(self, size: int) -> int:
        """Columns of the weights, for an operand of so many elements."""
        if self.convolution is None:
            return size
        return self.convolution.taps * (size // self.convolution.frame)

    def product(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Vectors (..., operand size) times weights (columns, rows)."""
        if self.convolution is None:
            return values @ weights
        return (self.convolution.gather(values) @ weights).reshape(*values.shape[:-1], -1)


@dataclass(frozen=True, kw_only=True)
class Affine(Node):
    """Sum of matrix-vector products, and a bias, in one accumulator.

    Its weights are called ``<name>.<path name>`` and its bias ``<name>``.
    """

    paths: tuple[Path, ...]

    @property
    def operands(self) -> tuple[int, ...]:
        return tuple(path.operand for path in self.paths)

    @property
    def pixels(self) -> int:
        """Pixels of the frame that convolutions give; 1 without any."""
        convolution = self.paths[0].convolution
        return 1 if convolution is None else convolution.pixels

    @property
    def rows(self) -> int:
        """Rows of the weights and of the bias: the same for every pixel."""
        return self.size // self.pixels

    def key(self, path: Path) -> str:
        """Name of a path's weights within the layer."""
        return f"{self.name}.{path.name}"


@dataclass(frozen=True, kw_only=True)
class Binary(Node):
    """Base of the element-wise operations of two vectors; exact, whatever the formats."""

    a: int
    b: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a, self.b)


@dataclass(frozen=True, kw_only=True)
class Add(Binary):
    """Element-wise ``a + b``."""


@dataclass(frozen=True, kw_only=True)
class Sub(Binary):
    """Element-wise ``a - b``."""


@dataclass(frozen=True, kw_only=True)
class Mul(Binary):
    """Element-wise ``a * b``."""


@dataclass(frozen=True, kw_only=True)
class Unary(Node):
    """Base of the operations of one vector."""

    operand: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.operand,)


@dataclass(frozen=True, kw_only=True)
class Activation(Unary):
    """An element-wise ``function`` by its name: a piecewise-linear table, or one of EXACT."""

    function: str

    @property
    def definition(self) -> Function:
        """What it computes."""
        return function_of(self.function)

    @property
    def table(self) -> str | None:
        return None if self.function in EXACT else self.function


@dataclass(frozen=True, kw_only=True)
class OwnActivation(Activation):
    """An activation with a user's own function; of float graphs alone."""

    own: Function

    @property
    def definition(self) -> Function:
        return self.own


def activation_node(function: Function, *, name: str, size: int, operand: int) -> Activation:
    """The node of a function, be it a user's own."""
    if function.stem in FAMILIES:
        return Activation(name=name, size=size, operand=operand, function=function.name)
    return OwnActivation(
        name=name, size=size, operand=operand, function=function.name, own=function
    )


@dataclass(frozen=True, kw_only=True)
class Multiple(Unary):
    """Exact product with the positive integer ``factor``."""

    factor: int


@dataclass(frozen=True, kw_only=True)
class Reduce(Unary):
    """Exact sum over the vector: a scalar, which later nodes take beside vectors of any size."""


@dataclass(frozen=True, kw_only=True)
class Inverse(Unary):
    """Of a scalar that is not negative: 1 / sqrt(x + epsilon), or 1 / (x + epsilon); 0 for 0.

    ``function`` is ``root`` or ``reciprocal``. An x of 0 means that what is to be divided is 0 as
    well.
    """

    function: str
    epsilon: float

    @property
    def table(self) -> str | None:
        return f"inverse_{self.function}"


@dataclass(frozen=True, kw_only=True)
class Rescale(Unary):
    """Rounds half up to ``format`` and saturates: the only way from one format to another."""


@dataclass(frozen=True, kw_only=True)
class Scale(Unary):
    """Times the constant ``multiplier * 2**-15``, exactly: the mantissa of a gate's real scale."""

    multiplier: int


N = TypeVar("N", bound=Node)


@dataclass(frozen=True)
class Graph:
    """One timestep.

    Parameters
    ----------
    nodes : tuple of Node
        In an order in which each node follows its operands.
    next_states : tuple of int
        For each :class:`State`, in their order, the node that gives its next value.
    output : int
        The node whose value leaves the layer.
    """

    nodes: tuple[Node, ...]
    next_states: tuple[int, ...]
    output: int

    def of(self, kind: type[N]) -> Iterator[tuple[int, N]]:
        """Yield position and node of every node of one kind, in order."""
        for position, node in enumerate(self.nodes):
            if isinstance(node, kind):
                yield position, node

    @cached_property
    def scalars(self) -> frozenset[int]:
        """Positions of sums over vectors, and of what follows from such sums alone."""
        found: set[int] = set()
        for position, node in enumerate(self.nodes):
            follows = bool(node.operands) and found.issuperset(node.operands)
            if isinstance(node, Reduce) or (follows and not isinstance(node, Affine)):
                found.add(position)
        return frozenset(found)

    @property
    def input(self) -> tuple[int, Input]:
        (found,) = self.of(Input)
        return found

    def readers(self, position: int) -> list[int]:
        """Positions of the nodes that read this one in the same timestep."""
        return list(self._readers.get(position, ()))

    @cached_property
    def _readers(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for reader, node in enumerate(self.nodes):
            for operand in dict.fromkeys(node.operands):
                found.setdefault(operand, []).append(reader)
        return found

    def only_multiplied(self, position: int) -> bool:
        """Whether matrix-vector products, and nothing else, read a node."""
        readers = self.readers(position)
        return bool(readers) and all(isinstance(self.nodes[r], Affine) for r in readers)

    def next_of(self, position: int) -> int:
        """The node that gives the next value of the state at ``position``."""
        states = [p for p, _ in self.of(State)]
        return self.next_states[states.index(position)]

    def check(self) -> None:
        """Raise ``AssertionError`` unless the graph keeps its own rules."""
        names = [node.name for node in self.nodes]
        assert len(set(names)) == len(names), f"node names repeat: {names}"
        assert len(list(self.of(Input))) == 1, "a cell graph has one input"
        states = list(self.of(State))
        assert len(states) == len(self.next_states), "every state has a next value"
        for (_, state), following in zip(states, self.next_states, strict=True):
            follower = self.nodes[following]
            assert state.size == follower.size, f"state {state.name} changes its size"
            assert state.format == follower.format, f"state {state.name} changes its format"
        for position, node in enumerate(self.nodes):
            assert all(0 <= operand < position for operand in node.operands), node
            if isinstance(node, Affine):
                assert node.paths, f"{node.name} has no path"
            elif not isinstance(node, Reduce):
                vectors = [p for p in node.operands if p not in self.scalars] or node.operands
                sizes = {self.nodes[operand].size for operand in vectors}
                assert sizes <= {node.size}, f"{node.name} mixes sizes {sorted(sizes)}"
        formats = [node.format is not None for node in self.nodes]
        assert all(formats) or not any(formats), "either all nodes have a format or none"

    def with_positions(self, moved: dict[int, int], node: Node) -> Node:
        """``node`` with its operands renamed by ``moved``."""
        changes: dict[str, object] = {
            field.name: moved[getattr(node, field.name)]
            for field in fields(node)
            if field.name in ("a", "b", "operand")
        }
        if isinstance(node, Affine):
            changes["paths"] = tuple(
                replace(path, operand=moved[path.operand]) for path in node.paths
            )
        return replace(node, **changes)  # type: ignore[arg-type]
