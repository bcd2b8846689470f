"""On which streams all elements of a sequence's last timestep are marked as such."""

from .integer_network import IntegerNetwork
from .streams import Concatenate, Sum

__all__ = ["is_marked"]


def is_marked(network: IntegerNetwork, stream: str) -> bool:
    """Whether the first element of a vector of the stream tells that it is the last timestep's.

    On the network's input only a sequence's last element does; concatenations and sums pass on
    what they get, and all other layers mark what they give throughout.
    """
    marked: set[str] = set()
    for layer in network.layers:
        if not isinstance(layer, Concatenate | Sum) or marked.issuperset(
            network.sources[layer.name]
        ):
            marked.add(layer.name)
    return stream in marked
