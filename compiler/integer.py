"""The integer network: the artifact from which golden model, cycle model and hardware are made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TypeVar

import numpy as np

from .convolution import Convolution
from .fixed import Format, width_for
from .graph import Affine, Graph, Input, Inverse, Path, Rescale, State
from .inputs import NetworkInput
from .integer_attention import IntegerAttention
from .inverse import FixedInverse
from .pwl import PiecewiseLinear
from .stages import Stage, stages_of
from .stream_inference import (
    index_entries,
    infer_input_format,
    infer_input_size,
    stream_formats,
    stream_sizes,
)
from .streams import Pool, Reverse, StreamLayer
from .wiring import INPUT, Length, roots_of, sources_of, stream_lengths

__all__ = [
    "MAX_ACCUMULATOR",
    "MAX_ALIGNMENT",
    "MAX_SELECTED",
    "IntegerLayer",
    "IntegerNetwork",
    "Operand",
    "Skip",
    "largest_sums",
]

T = TypeVar("T")

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


@dataclass(frozen=True)
class IntegerNetwork:
    """Integer layers between streams, as in :class:`~deltaloom.compiler.network.Network`.

    Each takes exactly the format that its source gives.

    Parameters
    ----------
    layers : tuple of IntegerLayer or StreamLayer
        In topological order.
    given_format : Format, optional
        Of the input, where no layer asks for one: it is summed, averaged or compared.
    given_memory : Format, optional
        The same of the memory.
    """

    layers: tuple[IntegerLayer | StreamLayer, ...]
    given_format: Format | None = None
    given_memory: Format | None = None

    @property
    def computing(self) -> tuple[IntegerLayer, ...]:
        """The cells, each an engine of its own."""
        return tuple(layer for layer in self.layers if isinstance(layer, IntegerLayer))

    @property
    def multiplying(self) -> tuple[IntegerLayer | IntegerAttention, ...]:
        """Cells and attention: what has lanes."""
        kinds = IntegerLayer | IntegerAttention
        return tuple(layer for layer in self.layers if isinstance(layer, kinds))

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """By layer: the streams that it takes."""
        return sources_of(self.layers)

    @cached_property
    def formats(self) -> dict[str, Format]:
        """By stream: the format of its elements."""
        return stream_formats(self.layers, self._input_formats)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """By stream: its features."""
        return stream_sizes(self.layers, self._input_sizes)

    @cached_property
    def lengths(self) -> dict[str, Length]:
        """By stream: how its timesteps follow from the input's."""
        return stream_lengths(self.layers)

    @cached_property
    def inputs(self) -> dict[str, NetworkInput]:
        """By name, in the order of the port: what the inputs take."""
        return {
            root: NetworkInput(
                root,
                format,
                self._input_sizes[root],
                index_entries(self.layers, root),
                self._least_steps(root),
                self._most_steps(root),
            )
            for root, format in self._input_formats.items()
        }

    def by_input(self, sequences: Sequence[T]) -> dict[str, Sequence[T]]:
        """What there is of each sequence, in the order of the port, for each of the inputs.

        Where there is a memory, that is in turn one of the memory and one of the input.
        """
        count = len(self._input_formats)
        if len(sequences) % count:
            raise ValueError(f"Sequences must come in pairs, and not be {len(sequences)}")
        return {root: sequences[at::count] for at, root in enumerate(self._input_formats)}

    def steps(self, layer: IntegerLayer | IntegerAttention, lengths: Sequence[int]) -> list[int]:
        """Timesteps that a layer runs for sequences with these timesteps."""
        own = self.lengths[layer.name]
        return [own.of(int(length)) for length in self.by_input(lengths)[own.root]]

    @cached_property
    def _input_sizes(self) -> dict[str, int]:
        return {root: infer_input_size(self.layers, root) for root in roots_of(self.layers)}

    @cached_property
    def _input_formats(self) -> dict[str, Format]:
        found = {}
        for root in roots_of(self.layers):
            given = self.given_format if root == INPUT else self.given_memory
            format = infer_input_format(self.layers, root) or given
            if format is None:
                raise ValueError("Network must have a given format where no layer asks for one")
            found[root] = format
        return found

    @property
    def input_format(self) -> Format:
        return self._input_formats[INPUT]

    @property
    def port_width(self) -> int:
        """Bits of the input port: whole bytes that hold an element of each input."""
        return max(format.byte_width for format in self._input_formats.values())

    @property
    def output_format(self) -> Format:
        return self.formats[self.layers[-1].name]

    @property
    def input_size(self) -> int:
        return self._input_sizes[INPUT]

    @property
    def output_size(self) -> int:
        return self.sizes[self.layers[-1].name]

    def _least_steps(self, root: str) -> int:
        return max(length.least() for length in self.lengths.values() if length.root == root)

    def _most_steps(self, root: str) -> int | None:
        limited = [
            (self.lengths[self.sources[layer.name][0]], layer.max_steps)
            for layer in self.layers
            if isinstance(layer, Reverse) or (isinstance(layer, Pool) and layer.is_mean)
        ] + [
            (self.lengths[self.sources[layer.name][1]], layer.max_steps)
            for layer in self.layers
            if isinstance(layer, IntegerAttention)
        ]
        limits = [length.most(steps) for length, steps in limited if length.root == root]
        return min(limits, default=None)

    def longest(self, stream: str) -> int:
        """The most timesteps of a stream, where their number is limited; else 1.

        What is too short for a window goes on as one timestep in hardware.
        """
        length = self.lengths[stream]
        return max(1, length.of(self.inputs[length.root].max_steps or 1))

    @property
    def once(self) -> bool:
        """Whether the output is one vector a sequence."""
        return self.lengths[self.layers[-1].name].once
