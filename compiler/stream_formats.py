"""Which fixed-point format every stream between layers has."""

from .attention import SOURCES, Attention
from .calibrate import STREAM, Ranges, Statistics
from .clipping import limited_format
from .fixed import Format
from .network import Layer, Network
from .recipe import Recipe
from .recipe_values import SUMS
from .stream_inference import keeps_format
from .streams import ArgMax, Embedding
from .wiring import readers_of, sources_of

__all__ = ["choose_stream_formats", "operand_format"]

WIDEST = 16
"""Bits of the widest stream."""


def choose_stream_formats(network: Network, ranges: Ranges, recipe: Recipe) -> dict[str, Format]:
    """Formats by stream.

    Streams on both sides of a layer that only moves elements share a format, and so do all that
    are concatenated (as the directions of a bidirectional layer share a quantizer in iRNN, Sari
    et al. 2021). It is the one that the recipe gives the operands of cells and attention that read
    them, and the network's output; where they ask for different ones, the one with the range of
    the widest and the step of the finest, as far as 16 bits hold both. Where no cell reads and
    nothing is put out, as before a sum, it is the element-wise one. Indices are whole numbers.
    """
    groups = group_streams(network)
    readers = readers_of(network.layers)
    cells = {layer.name: layer for layer in network.computing}
    attentions = [layer for layer in network.layers if isinstance(layer, Attention)]
    wired = sources_of(network.layers)
    found: dict[str, Format] = {}
    fixed = {layer.name: layer.format for layer in network.layers if isinstance(layer, ArgMax)}
    tables = {layer.name: layer for layer in network.layers if isinstance(layer, Embedding)}
    for group in groups:
        indices = [fixed[name] for name in group.streams if name in fixed]
        indices += [
            tables[reader].index_format
            for name in group.streams
            for reader in readers[name]
            if reader in tables
        ]
        if indices:
            widest = max(indices, key=lambda format: format.width)
            found |= dict.fromkeys(group.streams, widest)
            continue
        statistics = Statistics.merged([ranges[name, STREAM] for name in group.roots])
        asked = [
            _asked(cells[reader], statistics, recipe)
            for name in group.streams
            for reader in readers[name]
            if reader in cells
        ]
        asked += [
            statistics.format(recipe.activation_bits(layer.name, operand), recipe.clip)
            for layer in attentions
            for source, operand in zip(wired[layer.name], SOURCES, strict=True)
            if source in group.streams
        ]
        if network.layers[-1].name in group.streams:
            width = WIDEST if recipe.output == SUMS else recipe.output or recipe.elementwise
            asked.append(statistics.format(width, "minmax"))
        if not asked:
            asked.append(statistics.format(recipe.elementwise, "minmax"))
        found |= dict.fromkeys(group.streams, covering(asked))
    return found


class Group:
    """Streams of one format; ``roots`` are those whose values the others only pass on."""

    def __init__(self, name: str, root: bool):
        self.streams = [name]
        self.roots = [name] if root else []


def group_streams(network: Network) -> list[Group]:
    """All streams, in groups that share a format."""
    of = {root: Group(root, root=True) for root in network.inputs}
    for layer, sources in zip(network.layers, sources_of(network.layers).values(), strict=True):
        keeps = keeps_format(layer)
        group = of[layer.name] = Group(layer.name, root=not keeps)
        for source in sources if keeps else ():
            other = of[source]
            if other is not group:
                group.streams += other.streams
                group.roots += other.roots
                of |= dict.fromkeys(other.streams, group)
    return list({id(group): group for group in of.values()}.values())


def covering(formats: list[Format]) -> Format:
    """The range of the widest and the step of the finest format, in at most 16 bits."""
    whole = max(format.width - format.frac for format in formats)
    width = min(WIDEST, whole + max(format.frac for format in formats))
    return Format(width, width - whole)


def operand_format(layer: str, operand: str, statistics: Statistics, recipe: Recipe) -> Format:
    """What an operand with these values is multiplied in."""
    width, limit = recipe.activation_bits(layer, operand), recipe.operand_limit(layer, operand)
    return statistics.format(width, recipe.clip) if limit is None else limited_format(limit, width)


def _asked(layer: Layer, statistics: Statistics, recipe: Recipe) -> Format:
    """The format that a cell wants of its input."""
    position, node = layer.graph.input
    if layer.graph.only_multiplied(position):
        return operand_format(layer.name, node.name, statistics, recipe)
    return statistics.format(recipe.elementwise, "minmax")
