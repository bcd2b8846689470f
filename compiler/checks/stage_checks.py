"""The rules of stages: what a timestep multiplies, in which order."""

from ..graph import Affine, Input, State
from ..integer import IntegerLayer
from ..stages import levels_of, scalar_readers
from .rules import require

__all__ = ["check_stages"]


def check_stages(layer: IntegerLayer) -> None:
    """Each stage multiplies at most the input and one vector more, which it waits for.

    The first one's is a state, those of the others are what the stage before computed; and the
    state comes from the last stage, so that a timestep is over before the next one begins.
    """
    graph = layer.graph
    what = f"Layer {layer.name}"
    levels, affines = levels_of(layer), dict(graph.of(Affine))
    last = max(levels[position] for position in affines)
    require(
        {levels[position] for position in affines} == set(range(last + 1)),
        f"{what} must multiply what a stage computes from products in the stage that follows it",
    )
    check_scalars(layer, levels, last)
    for stage in layer.stages[: last + 1]:
        sources = [type(graph.nodes[layer.operands[p].source]) for p in stage.operands]
        awaited = [kind for kind in sources if kind is not Input]
        if stage.number:
            require(
                len(awaited) == 1 and awaited[0] is not State,
                f"{what} must multiply one vector that it computes, and nothing but the input "
                f"beside it",
            )
        else:
            require(
                sources in ([Input], [Input, State]),
                f"{what} must multiply its input, and at most one state, with weights",
            )
        sizes = {graph.nodes[position].size for position in stage.affines}
        require(len(sizes) == 1, f"{what} must have gates of one size, not {sorted(sizes)}")
    for stage in layer.stages:
        vectors = [position for position in stage.nodes if position not in graph.scalars]
        equal = all(graph.nodes[position].size == stage.size for position in vectors)
        require(equal, f"{what} must compute vectors of the size of their gates")
    states = [o for o in layer.operands if isinstance(graph.nodes[o.source], State)]
    following = [graph.next_of(operand.source) for operand in states]
    if last:
        require(
            bool(states) and all(n in layer.stages[last].nodes for n in following),
            f"{what} must multiply a state that the last of its {last + 1} stages gives",
        )
    held = [c.writer for stage in layer.stages for c in stage.crossings if c.held]
    given = max((levels[position] for position in following), default=0)
    require(
        max(held, default=0) <= given,
        f"{what} must give the state that it multiplies after every state that an earlier pass "
        f"reads",
    )
    single = len(layer.stages) == 1
    require(single or not layer.convolutional, f"{what} must not have convolutions in stages")


def check_scalars(layer: IntegerLayer, levels: dict[int, int], last: int) -> None:
    """Sums over vectors go into the pass that follows; there is one stage of products then."""
    graph = layer.graph
    for position in sorted(graph.scalars):
        what = f"Node {layer.name}.{graph.nodes[position].name}"
        ends = (*graph.next_states, graph.output)
        require(position not in ends, f"{what} must not be an output or a state: it is a scalar")
        readers = scalar_readers(graph, levels, position)
        require(
            readers <= {levels[position] + 1},
            f"{what} must go into vectors of the pass that follows it alone",
        )
    require(
        not graph.scalars or not last,
        f"Layer {layer.name} must not have sums over vectors beside products of products",
    )
