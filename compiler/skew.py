"""How deep the queues at a join are, so that no pattern of stalls can stop a network for good."""

from .integer import IntegerLayer, IntegerNetwork
from .integer_attention import IntegerAttention
from .streams import Concatenate, Reverse, Sum, Window
from .wiring import INPUT

__all__ = ["is_join", "join_depths", "taps_of"]

FLIGHT = 2
"""Vectors that a cell takes before the first of them leaves it as a result."""


def is_join(layer: object) -> bool:
    """Whether a layer has several sources, each behind a queue."""
    return isinstance(layer, Concatenate | Sum | IntegerAttention)


def holds_sequences(layer: object) -> bool:
    """Whether nothing of a sequence leaves a layer before it has come to its end."""
    return isinstance(layer, Reverse) or (isinstance(layer, IntegerAttention) and not layer.causal)


def taps_of(network: IntegerNetwork, stream: str) -> list[tuple[str, int]]:
    """Who reads a stream: layer and place among its sources, in the network's order."""
    return [
        (layer.name, place)
        for layer in network.layers
        for place, source in enumerate(network.sources[layer.name])
        if source == stream
    ]


def join_depths(network: IntegerNetwork) -> dict[str, tuple[int, ...]]:
    """By joining layer: elements that the queue before each of its sources holds.

    All sources of a join have the same timesteps. Vector n of a source depends on vectors of the
    network's input up to n alone; or up to ``stride * n + ahead`` or the end of n's sequence, if
    there are windows on the way, whose strides all sources share; or up to that end, if there is a
    layer that holds sequences: a reversal, or attention to whole ones. So a queue may fill before
    the join moves with two vectors; and, where the windows of another source look further ahead,
    with the vectors that this one gives in between; or, where another source waits for such a
    layer that this one does not share with all, with a whole sequence. It holds that, and
    :data:`FLIGHT` vectors for each cell or attention on another way, so that these need not wait
    for each other. Whatever comes after the join may stall: then all its queues fill, and all ways
    stand until it moves. Where a source gives one vector a sequence, so do all, and none of them
    waits for the next sequence.

    Attention joins its sources as well. Of keys and values it takes vector n of each in turn, and
    a query after the keys that it meets: with causal attention those up to n, so two vectors are
    enough as before; else all of a sequence, for which the queries wait in their queue.
    """
    passed: dict[str, frozenset[str]] = {INPUT: frozenset()}
    reach = {INPUT: (1, 0)}  # stride and ahead, in vectors of the network's input
    kinds = {layer.name: layer for layer in network.layers}
    depths = {}
    for layer in network.layers:
        sources = network.sources[layer.name]
        ways = [passed[source] for source in sources]
        passed[layer.name] = frozenset({layer.name}).union(*ways)
        stride, ahead = reach[sources[0]][0], max(reach[source][1] for source in sources)
        if isinstance(layer, Window):
            stride, ahead = stride * layer.stride, ahead + stride * layer.ahead
        reach[layer.name] = stride, ahead
        if not is_join(layer):
            continue
        own = [way - frozenset.intersection(*ways) for way in ways]
        found = []
        for place, source in enumerate(sources):
            others = frozenset().union(*(way for at, way in enumerate(own) if at != place))
            engines = IntegerLayer | IntegerAttention
            vectors = 2 + FLIGHT * sum(isinstance(kinds[name], engines) for name in others)
            waits = any(holds_sequences(kinds[name]) for name in others)
            waits |= holds_sequences(layer) and not place
            if not network.lengths[source].once:
                vectors += (ahead - reach[source][1]) // stride
                if waits:
                    vectors += network.longest(source)
            found.append(vectors * network.sizes[source])
        depths[layer.name] = tuple(found)
    return depths
