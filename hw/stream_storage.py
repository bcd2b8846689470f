"""Every memory between the engines: its shape and whether it lies in block RAM."""

from ..compiler.integer_network import IntegerNetwork
from ..compiler.marks import is_marked
from ..compiler.skew import is_join, join_depths
from ..compiler.stages import PINGPONG
from ..compiler.streams import Embedding, LastStep, Pool, Reverse, Window
from ..compiler.target import Target
from .encoder import index_width
from .pool import word_of
from .ram_style import in_block_ram
from .storage import Storage
from .stream_layout import marked_layout

__all__ = ["stream_memories"]


def stream_memories(network: IntegerNetwork, target: Target) -> list[Storage]:
    """The memories of stream layers, and the queues before all joins.

    One with two readers counts twice.
    """
    depths = join_depths(network)
    found = []

    def add(name: str, width: int, depth: int, *, rom: bool = False) -> None:
        inside = in_block_ram(depth) if rom else in_block_ram(depth, target)
        found.append(Storage(name, width, depth, inside))

    for layer in network.layers:
        sources, name = network.sources[layer.name], layer.name
        format, size = network.formats[sources[0]], network.sizes[sources[0]]
        steps = network.longest(sources[0])
        match layer:
            case Reverse():
                add(name, format.width, PINGPONG * size * steps)
            case Window():
                add(name, format.width, layer.held * size)
            case Embedding(format=target_format):
                assert target_format is not None
                add(name, target_format.width, layer.table.size, rom=True)
            case LastStep() if is_marked(network, sources[0]):
                pass
            case LastStep() | Pool():
                word = word_of(layer, format, steps).width
                for reader in ("sums", "results"):
                    add(f"{name}_{reader}", word, PINGPONG << index_width(size))
        if is_join(layer):
            for place, (source, depth) in enumerate(zip(sources, depths[name], strict=True)):
                width = marked_layout(network.formats[source]).size
                add(f"{name}_queue_{place}", width, depth)
    return found
