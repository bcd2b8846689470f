"""Values that formats cut off, where hardware counts them."""

import numpy as np

from .fixed import Format, requantize
from .graph import Graph, Rescale, State
from .integer import IntegerLayer, Operand

__all__ = ["cut_at_start", "saturating_states"]

WIDE = 48  # bits that no value exceeds when it is rounded


def saturating_states(graph: Graph) -> dict[str, str]:
    """By state, the rescale node that gives its next value.

    States whose next value is that of another node, which no format cuts off, are missing.
    """
    following = {state.name: graph.nodes[graph.next_of(place)] for place, state in graph.of(State)}
    return {name: node.name for name, node in following.items() if isinstance(node, Rescale)}


def cut_at_start(layer: IntegerLayer, operand: Operand) -> int:
    """Values of a state's own start that its rounding to an operand cuts off."""
    state = layer.graph.nodes[operand.source]
    if not isinstance(state, State) or operand.node == operand.source:
        return 0
    assert state.format is not None
    start = layer.initial_state(state).astype(np.int64)
    whole = requantize(start, state.format, Format(WIDE, operand.format.frac))
    return int(np.sum(whole != requantize(start, state.format, operand.format)))
