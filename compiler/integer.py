"""Integer layers: cell graphs with formats, weights and tables, and proven widths of their sums."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np

from .convolution import Convolution
from .fixed import Format, width_for
from .graph import Affine, Graph, Input, Inverse, Path, Rescale, State
from .inverse import FixedInverse
from .pwl import PiecewiseLinear
from .stages import Stage, stages_of

__all__ = [
    "MAX_ACCUMULATOR",
    "MAX_ALIGNMENT",
    "MAX_SELECTED",
    "IntegerLayer",
    "Operand",
    "Skip",
    "largest_sums",
]

MAX_ACCUMULATOR = 48
"""Bits of the widest accumulator, the bias included."""

MAX_ALIGNMENT = 31
"""The longest left shift that aligns two paths of a gate."""


MAX_SELECTED = 64
"""The most elements of a vector that are selected from more; each has a register of its own."""


class Skip(Enum):
    """Which columns of a matrix-vector product are left out.

    ``NONE``: no column. ``ZERO``: columns whose element is zero; exact. ``DELTA``: columns whose
    element differs by less than theta from the value last used (Neil et al. 2017); exact with a
    theta of zero, which leaves out unchanged elements only. ``TOP_K``: all but a fixed number of
    columns, those whose elements differ most from the value last used, the first of equal ones
    (PeakEngine); how long a timestep takes does not depend on the data.
    """

    NONE = "none"
    ZERO = "zero"
    DELTA = "delta"
    TOP_K = "top_k"

    @property
    def differs(self) -> bool:
        """Whether columns are multiplied with differences, and their sums kept."""
        return self in (Skip.DELTA, Skip.TOP_K)


@dataclass(frozen=True)
class Operand:
    """A vector that weights are multiplied with.

    It is the input, a state of the last timestep, or what this timestep has computed.

    Parameters
    ----------
    name : str
        Name of the input or state; of any other, the name that its paths have.
    node : int
        Position of the node that gives the integers: the source itself, or its rescaled form.
    source : int
        Position of the input or state; of any other, ``node``.
    size : int
        Elements.
    format : Format
        Format of the elements.
    theta : int
        Least difference, in units of the last place, that is not skipped in ``DELTA`` mode.
    convolution : Convolution, optional
        The windows in which it is multiplied, if it is a frame.
    kept : int, optional
        Elements that are multiplied in each timestep, in ``TOP_K`` mode.
    """

    name: str
    node: int
    source: int
    size: int
    format: Format
    theta: int
    convolution: Convolution | None = None
    kept: int | None = None

    @property
    def selected(self) -> int:
        """How many elements are chosen from all once these are known; 0 if none has to be."""
        return 0 if self.kept in (None, self.size) else self.kept  # type: ignore[return-value]

    @property
    def channels(self) -> int:
        """Elements of a pixel."""
        return self.size // (self.convolution.frame if self.convolution else 1)

    @property
    def columns(self) -> int:
        """Columns of the weights."""
        return self.channels * (self.convolution.taps if self.convolution else 1)

    @property
    def dense_entries(self) -> int:
        """List entries that a row, at all pixels, meets if nothing is skipped."""
        return self.convolution.matched * self.channels if self.convolution else self.size


def largest_sums(products: Iterable[tuple[np.ndarray, Format, int]]) -> np.ndarray:
    """Largest absolute sum of a gate's products that any input can cause, row by row.

    ``products`` has weights (rows, columns), the operand's format and the left shift of each
    path. Python integers (rows,), of any size.
    """
    total: np.ndarray | int = 0
    for weights, operand, shift in products:
        largest = max(-operand.min, operand.max) << shift
        total = total + np.abs(weights).sum(axis=1).astype(object) * largest
    return np.asarray(total)


@dataclass(frozen=True)
class IntegerLayer:
    """A cell graph with formats, and its integer parameters.

    Parameters
    ----------
    name, cell, sources
        As in :class:`~deltaloom.compiler.network.Layer`.
    graph : Graph
        Every node has a format. Every affine is read by one :class:`Rescale` and nothing else.
    weights : mapping of str to numpy.ndarray
        Int64 (rows, columns) by ``gate.operand``; formats are in the graph's paths.
    biases : mapping of str to numpy.ndarray
        Int64 (rows,) by gate, with the fraction bits of the gate's accumulator.
    constants : mapping of str to numpy.ndarray
        Int64 (units,) by name of the constant node.
    tables : mapping of str to PiecewiseLinear
        By name of the node, for those that look one up.
    skip : Skip
        What is left out.
    theta : mapping of str to int
        By operand name; missing means zero.
    initial : mapping of str to numpy.ndarray
        Int64 (size,) by state: what a sequence starts from; missing means zero.
    kept : mapping of str to int
        By operand, in ``TOP_K`` mode: elements that are multiplied in each timestep.
    """

    name: str
    cell: str
    graph: Graph
    weights: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray]
    constants: Mapping[str, np.ndarray]
    tables: Mapping[str, PiecewiseLinear]
    skip: Skip
    theta: Mapping[str, int]
    sources: tuple[str, ...] = ()
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def starts_from_zero(self) -> bool:
        """Whether every state is zero before a sequence, unless a caller says otherwise."""
        return not any(values.any() for values in self.initial.values())

    def initial_state(self, state: State) -> np.ndarray:
        """What every sequence starts from, unless a caller says otherwise; int64 (size,)."""
        if state.name in self.initial:
            return self.initial[state.name]
        return np.zeros(state.size, dtype=np.int64)

    @property
    def input_format(self) -> Format:
        return self._format(self.graph.input[0])

    @property
    def output_format(self) -> Format:
        return self._format(self.graph.output)

    @property
    def input_size(self) -> int:
        return self.graph.input[1].size

    @property
    def units(self) -> int:
        """Elements of the layer's output."""
        return self.graph.nodes[self.graph.output].size

    @property
    def output_size(self) -> int:
        return self.units

    @property
    def pixels(self) -> int:
        """Pixels of the layer's output; 1 unless its products are convolutions."""
        return next(affine.pixels for _, affine in self.graph.of(Affine))

    @property
    def channels(self) -> int:
        """Elements of a pixel of the output."""
        return self.units // self.pixels

    @property
    def convolutional(self) -> bool:
        """Whether its products are convolutions."""
        return any(operand.convolution is not None for operand in self.operands)

    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """Matrix-vector operands: the input first, then states, then what is computed."""
        found: dict[str, Operand] = {}
        for _, affine in self.graph.of(Affine):
            for path in affine.paths:
                node, name = self.graph.nodes[path.operand], path.name
                source = node.operand if isinstance(node, Rescale) else path.operand
                if not isinstance(self.graph.nodes[source], Input | State):
                    source = path.operand
                operand = Operand(
                    name=name,
                    node=path.operand,
                    source=source,
                    size=node.size,
                    format=self._format(path.operand),
                    theta=int(self.theta.get(name, 0)),
                    convolution=path.convolution,
                    kept=self.kept.get(name) if self.skip is Skip.TOP_K else None,
                )
                assert found.setdefault(name, operand) == operand, f"{name} in two formats"
        return tuple(sorted(found.values(), key=lambda operand: operand.source))

    def inverse(self, node: Inverse) -> FixedInverse:
        """What an inverse of the graph computes."""
        source, target = self._format(node.operand), node.format
        assert target is not None
        epsilon = int(node.epsilon * 2.0**source.frac)
        return FixedInverse(node.function, source, target, epsilon, self.tables[node.name])

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The parts of a timestep, in order."""
        return stages_of(self)

    @property
    def recurrent(self) -> bool:
        """Whether a matrix-vector product reads a state."""
        return any(isinstance(self.graph.nodes[o.source], State) for o in self.operands)

    def operand_of(self, path: Path) -> Operand:
        return next(o for o in self.operands if o.node == path.operand)

    def shift(self, affine: Affine, path: Path) -> int:
        """Left shift that aligns a path's products with the accumulator of its gate."""
        assert affine.format is not None
        assert path.format is not None
        return affine.format.frac - path.format.frac - self.operand_of(path).format.frac

    def row_bounds(self, affine: Affine) -> np.ndarray:
        """Largest absolute sum of products of each row; Python integers (rows,)."""
        return largest_sums(
            (self.weights[affine.key(path)], self.operand_of(path).format, self.shift(affine, path))
            for path in affine.paths
        )

    def sum_bound(self, affine: Affine) -> int:
        """Largest absolute sum of products that any input can cause, without the bias.

        max over rows of sum(|w| * max|x|). It also bounds every partial and every kept sum of the
        delta form, which is at all times W applied to some vector within the operand's range.
        """
        return int(self.row_bounds(affine).max())

    def sum_width(self, affine: Affine) -> int:
        """Bits of an accumulator that no input can make overflow, without the bias."""
        bound = self.sum_bound(affine)
        return width_for(-bound, bound)

    def _format(self, position: int) -> Format:
        found = self.graph.nodes[position].format
        assert found is not None, "an integer layer's nodes have formats"
        return found
