"""How deep the queues at a join are, so that no pattern of stalls can stop a network for good."""

from .integer import IntegerLayer
from .integer_attention import IntegerAttention
from .integer_network import IntegerNetwork
from .streams import Concatenate, Reverse, StreamLayer, Sum, Window

__all__ = ["is_join", "join_depths", "taps_of"]

FLIGHT = 2
"""Vectors that a cell takes before the first of them leaves it as a result."""


def is_join(layer: object) -> bool:
    """Whether a layer has several sources, each behind a queue."""
    return isinstance(layer, Concatenate | Sum | IntegerAttention)


def holds_sequences(network: IntegerNetwork, layer: IntegerLayer | StreamLayer) -> bool:
    """Whether nothing of a sequence leaves a layer before it has come to its end."""
    if isinstance(layer, IntegerAttention) and not layer.causal:
        query, key, _ = network.sources[layer.name]
        return network.lengths[query].root == network.lengths[key].root
    return isinstance(layer, Reverse)


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
    enough as before; else all of a sequence, for which the queries wait in their queue. Where they
    ask a memory, all of it has come before them, and attention has room for it: then neither waits
    for the other, and for the queue of a source those that follow from the other input are nothing.
    """
    passed: dict[str, frozenset[str]] = {root: frozenset() for root in network.inputs}
    reach = {root: (1, 0) for root in network.inputs}  # stride and ahead, in the input's vectors
    kinds = {layer.name: layer for layer in network.layers}
    depths = {}
    for layer in network.layers:
        sources = network.sources[layer.name]
        roots = [network.lengths[source].root for source in sources]
        own = [source for source, root in zip(sources, roots, strict=True) if root == roots[0]]
        passed[layer.name] = frozenset({layer.name}).union(*(passed[source] for source in own))
        stride, ahead = reach[own[0]][0], max(reach[source][1] for source in own)
        if isinstance(layer, Window):
            stride, ahead = stride * layer.stride, ahead + stride * layer.ahead
        reach[layer.name] = stride, ahead
        if not is_join(layer):
            continue
        found = []
        for place, source in enumerate(sources):
            beside = [at for at, root in enumerate(roots) if root == roots[place]]
            ways = {at: passed[sources[at]] for at in beside}
            shared = frozenset.intersection(*ways.values())
            others = frozenset().union(*(way for at, way in ways.items() if at != place)) - shared
            stride = reach[source][0]
            ahead = max(reach[sources[at]][1] for at in beside)
            engines = IntegerLayer | IntegerAttention
            vectors = 2 + FLIGHT * sum(isinstance(kinds[name], engines) for name in others)
            waits = any(holds_sequences(network, kinds[name]) for name in others)
            waits |= holds_sequences(network, layer) and not place
            if not network.lengths[source].once:
                vectors += (ahead - reach[source][1]) // stride
                if waits:
                    vectors += network.longest(source)
            found.append(vectors * network.sizes[source])
        depths[layer.name] = tuple(found)
    return depths
