"""How deep the queues at a join are, so that no pattern of stalls can stop a network for good."""

from .integer import IntegerLayer, IntegerNetwork
from .streams import Concatenate, Reverse, Sum
from .wiring import INPUT

__all__ = ["is_join", "join_depths", "taps_of"]

FLIGHT = 2
"""Vectors that a cell takes before the first of them leaves it as a result."""


def is_join(layer: object) -> bool:
    """Whether a layer has several sources, each behind a queue."""
    return isinstance(layer, Concatenate | Sum)


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
    network's input up to n alone, or up to the end of n's sequence if there is a reversal on the
    way. So a queue may fill before the join moves with two vectors; or, where another source
    waits for a reversal that this one does not share with all, with a whole sequence. It holds
    that, and :data:`FLIGHT` vectors for each cell on another way, so that these need not wait for
    each other. Whatever comes after the join may stall: then all its queues fill, and all ways
    stand until it moves.
    """
    passed: dict[str, frozenset[str]] = {INPUT: frozenset()}
    kinds = {layer.name: layer for layer in network.layers}
    depths = {}
    for layer in network.layers:
        sources = network.sources[layer.name]
        ways = [passed[source] for source in sources]
        passed[layer.name] = frozenset({layer.name}).union(*ways)
        if not is_join(layer):
            continue
        own = [way - frozenset.intersection(*ways) for way in ways]
        found = []
        for place, source in enumerate(sources):
            others = frozenset().union(*(way for at, way in enumerate(own) if at != place))
            cells = sum(isinstance(kinds[name], IntegerLayer) for name in others)
            vectors = 2 + FLIGHT * cells
            reversals = [kinds[name] for name in others if isinstance(kinds[name], Reverse)]
            if reversals and not network.lengths[source].once:
                assert network.max_steps is not None
                vectors += network.max_steps
            found.append(vectors * network.sizes[source])
        depths[layer.name] = tuple(found)
    return depths
