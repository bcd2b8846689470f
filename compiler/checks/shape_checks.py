"""The rules of a graph's shape: names, sizes, positions, and the presence of formats."""

from ..exact import MAX_EXACT
from ..graph import Affine, Graph, Input, Node, Reduce, Rescale, State
from .conv_checks import check_convolutions
from .rules import NAME, check_format, require

__all__ = ["MAX_SIZE", "check_shape"]

MAX_NODES = 1024
MAX_SIZE = 1 << 20


def check_shape(layer: str, graph: Graph) -> None:
    """Names, sizes, positions and the presence of formats."""
    require(len(graph.nodes) <= MAX_NODES, f"Layer {layer} must have at most {MAX_NODES} nodes")
    names = [node.name for node in graph.nodes]
    require(len(set(names)) == len(names), f"Nodes of layer {layer} must have different names")
    kinds = [type(node) for node in graph.nodes]
    require(kinds.count(Input) == 1, f"Layer {layer} must have one input")
    for position, node in enumerate(graph.nodes):
        what = f"Node {layer}.{node.name}"
        require(NAME.fullmatch(node.name) is not None, f"{what} must have an identifier as name")
        require(1 <= node.size <= MAX_SIZE, f"{what} must have 1 to {MAX_SIZE} elements")
        check_format(what, node.format, MAX_EXACT)
        earlier = all(0 <= operand < position for operand in node.operands)
        require(earlier, f"{what} must read earlier nodes")
        if isinstance(node, Affine):
            require(bool(node.paths), f"{what} must have a path")
            require(len(set(node.operands)) == len(node.operands), f"{what} must read a node once")
        elif isinstance(node, Reduce):
            require(node.size == 1, f"{what} must have one element")
        else:
            vectors = [p for p in node.operands if p not in graph.scalars] or node.operands
            equal = all(graph.nodes[operand].size == node.size for operand in vectors)
            require(equal, f"{what} must have the size of its operands")
    states = [node for _, node in graph.of(State)]
    ends = (*graph.next_states, graph.output)
    require(
        all(0 <= end < len(graph.nodes) for end in ends),
        f"Output and next states of layer {layer} must be nodes",
    )
    require(len(states) == len(graph.next_states), f"Layer {layer} must have a next value a state")
    for state, following in zip(states, graph.next_states, strict=True):
        node = graph.nodes[following]
        require(
            (state.size, state.format) == (node.size, node.format),
            f"State {layer}.{state.name} must keep its size and format",
        )
    check_affine_readers(layer, graph)
    check_convolutions(layer, graph)


def check_affine_readers(layer: str, graph: Graph) -> None:
    """An affine is read by one rescale and by nothing else."""
    reads: list[list[Node]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        for operand in set(node.operands):
            reads[operand].append(node)
    for position, affine in graph.of(Affine):
        alone = len(reads[position]) == 1 and isinstance(reads[position][0], Rescale)
        require(
            alone and position not in (*graph.next_states, graph.output),
            f"Affine {layer}.{affine.name} must be read by one rescale alone",
        )
