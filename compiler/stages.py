"""Stages of a timestep: products of what is known, equations on them, and products of those."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .graph import Affine, Constant, Graph, Input, Rescale, State

if TYPE_CHECKING:
    from .integer import IntegerLayer

PINGPONG = 2  # vectors of a kind: one is read while the next is filled

__all__ = [
    "PINGPONG",
    "Crossing",
    "Stage",
    "levels_of",
    "operand_nodes",
    "scalar_readers",
    "stages_of",
]


@dataclass(frozen=True)
class Crossing:
    """A vector that one stage computes and another one reads.

    Parameters
    ----------
    node, source : int
        The node that is read, and the one whose value it is: the same, or for a state the node
        that gave it in the timestep before.
    writer, reader : int
        Stages.
    """

    node: int
    source: int
    writer: int
    reader: int

    @property
    def held(self) -> bool:
        """Whether it is a state, which the first timestep of a sequence reads as zero."""
        return self.node != self.source

    def depth(self, size: int) -> int:
        """Words of its memory: those of a timestep, or of two in halves."""
        return size if self.held else PINGPONG << max(1, (size - 1).bit_length())


@dataclass(frozen=True)
class Stage:
    """Affines that can be computed together, and the element-wise nodes that follow from them.

    The first stage multiplies the input, and a state if the layer is recurrent. Each later one
    multiplies what the stage before it computed, and the input if its affines read that too. A
    stage without affines is a pass over vectors that waits for sums over what the stage before
    computed.

    Parameters
    ----------
    layer : IntegerLayer
        What it is part of.
    number : int
        Place among the layer's stages.
    affines, nodes : tuple of int
        Positions of its affines and of its element-wise nodes.
    operands : tuple of int
        The places in ``layer.operands`` of the vectors that it multiplies, in order.
    states : tuple of int
        Positions of the states that it reads where they are written: in itself.
    constants : tuple of int
        Positions of the constants that it reads.
    input : bool
        Whether its element-wise nodes read the layer's input.
    crossings, exports : tuple of Crossing
        What it takes from other stages, and what they take from it.
    scalars, sums : tuple of int
        Positions of the scalars that it takes from the stage before, and of those that it gives.
    """

    layer: IntegerLayer
    number: int
    affines: tuple[int, ...]
    nodes: tuple[int, ...]
    operands: tuple[int, ...]
    states: tuple[int, ...]
    constants: tuple[int, ...]
    input: bool
    crossings: tuple[Crossing, ...]
    exports: tuple[Crossing, ...]
    scalars: tuple[int, ...]
    sums: tuple[int, ...]

    @cached_property
    def size(self) -> int:
        """Elements of every vector that it computes."""
        graph = self.layer.graph
        vectors = [p for p in (*self.affines, *self.nodes) if p not in graph.scalars]
        return graph.nodes[vectors[0]].size

    @cached_property
    def gives(self) -> tuple[int, ...]:
        """Positions of the states whose next values it computes."""
        graph = self.layer.graph
        return tuple(p for p, _ in graph.of(State) if graph.next_of(p) in self.nodes)

    @property
    def multiplies(self) -> bool:
        """Whether it has affines."""
        return bool(self.affines)

    @cached_property
    def channels(self) -> int:
        """Elements of a pixel: rows of its affines."""
        return self.size // self.layer.pixels

    @property
    def walks_input(self) -> bool:
        """Whether the input is among what it multiplies."""
        return 0 in self.operands

    @property
    def awaited(self) -> int | None:
        """Place in ``layer.operands`` of the vector that it may have to wait for, if any."""
        return self.operands[-1] if any(self.operands) else None

    @property
    def dense_entries(self) -> int:
        """List entries that one row, at all pixels, meets if nothing is skipped."""
        return sum(self.layer.operands[place].dense_entries for place in self.operands)

    @property
    def columns(self) -> int:
        """Columns of its weights."""
        return sum(self.layer.operands[place].columns for place in self.operands)


def operand_nodes(layer: IntegerLayer) -> frozenset[int]:
    """Roundings that are known before their timestep: of the input, and of states."""
    return frozenset(operand.node for operand in layer.operands if operand.node != operand.source)


def levels_of(layer: IntegerLayer) -> dict[int, int]:
    """By position: the stage of every node but roundings that are known before their timestep.

    A node that no product leads to is computed in the stage that first reads it.
    """
    graph, rounded = layer.graph, operand_nodes(layer)
    levels: dict[int, int] = {}
    free: set[int] = set()
    for position, node in enumerate(graph.nodes):
        match node:
            case Input() | State() | Constant():
                levels[position] = 0
                free.add(position)
            case Affine():
                levels[position] = max(
                    0 if known(graph, path.operand) else levels[path.operand] + 1
                    for path in node.paths
                )
            case _:
                vector = position not in graph.scalars
                levels[position] = max(
                    levels[operand] + int(vector and operand in graph.scalars)
                    for operand in node.operands
                )
                if free.issuperset(node.operands):
                    free.add(position)
    for position in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[position]
        readers = [r for r in graph.readers(position) if r not in rounded]
        plain = not any(isinstance(graph.nodes[r], Affine) for r in readers)
        if position in free and not isinstance(node, State) and readers and plain:
            levels[position] = min(levels[reader] for reader in readers)
    return {p: level for p, level in levels.items() if p not in rounded}


def known(graph: Graph, position: int) -> bool:
    """Whether an affine's operand is known before the timestep's first stage."""
    node = graph.nodes[position]
    source = graph.nodes[node.operand] if isinstance(node, Rescale) else node
    return isinstance(source, Input | State)


def stages_of(layer: IntegerLayer) -> tuple[Stage, ...]:
    """The stages of a layer's timestep, in order."""
    graph, levels = layer.graph, levels_of(layer)
    affines = [position for position, _ in graph.of(Affine)]
    count = 1 + max(levels.values())
    crossings = crossings_of(graph, levels)
    summed = {p: scalar_readers(graph, levels, p) for p in sorted(graph.scalars)}
    summed = {p: readers for p, readers in summed.items() if readers}
    stages = []
    for number in range(count):
        nodes = tuple(
            position
            for position, level in levels.items()
            if level == number and graph.nodes[position].operands and position not in affines
        )
        own = tuple(p for p in affines if levels[p] == number)
        multiplied = {
            layer.operands.index(layer.operand_of(path))
            for position in own
            for path in affine_at(graph, position).paths
        }
        stages.append(
            Stage(
                layer=layer,
                number=number,
                affines=own,
                nodes=nodes,
                operands=tuple(sorted(multiplied)),
                states=tuple(
                    p
                    for p, _ in graph.of(State)
                    if read_within(graph, levels, p) and levels[graph.next_of(p)] == number
                ),
                constants=tuple(
                    position
                    for position, _ in graph.of(Constant)
                    if number in {levels[r] for r in graph.readers(position)}
                ),
                input=levels[graph.input[0]] == number
                and any(reader in levels for reader in elementwise_readers(graph, graph.input[0])),
                crossings=tuple(c for c in crossings if c.reader == number),
                exports=tuple(c for c in crossings if c.writer == number),
                scalars=tuple(p for p in summed if number in summed[p]),
                sums=tuple(p for p in summed if levels[p] == number),
            )
        )
    return tuple(stages)


def affine_at(graph: Graph, position: int) -> Affine:
    node = graph.nodes[position]
    assert isinstance(node, Affine)
    return node


def elementwise_readers(graph: Graph, position: int) -> list[int]:
    return [r for r in graph.readers(position) if not isinstance(graph.nodes[r], Affine)]


def read_within(graph: Graph, levels: dict[int, int], state: int) -> bool:
    """Whether the stage that writes a state has to read it: for itself, or for later stages."""
    writer = levels[graph.next_of(state)]
    return any(
        levels[reader] >= writer for reader in elementwise_readers(graph, state) if reader in levels
    )


def scalar_readers(graph: Graph, levels: dict[int, int], position: int) -> set[int]:
    """The stages whose vectors a scalar goes into."""
    return {levels[r] for r in graph.readers(position) if r not in graph.scalars}


def crossings_of(graph: Graph, levels: dict[int, int]) -> list[Crossing]:
    """Every vector that has to pass from a stage to another one."""
    found = []
    for position, node in enumerate(graph.nodes):
        skipped = isinstance(node, Affine | Constant) or position in graph.scalars
        if skipped or position not in levels:
            continue
        state = isinstance(node, State)
        home = levels[graph.next_of(position)] if state else levels[position]
        readers = {levels[r] for r in elementwise_readers(graph, position) if r in levels}
        for reader in sorted(readers - {home}):
            before = state and reader < home
            source = graph.next_of(position) if before else position
            found.append(Crossing(position, source, home, reader))
    return found
