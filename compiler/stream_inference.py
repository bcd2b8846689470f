"""What streams hold: their sizes and formats, and those that the inputs have to have.

The same rules for float and integer networks.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from .attention import AttentionLayer
from .checks.rules import require
from .fixed import Format
from .integer_attention import IntegerAttention
from .streams import ArgMax, Concatenate, Embedding, LastStep, Pool, Reverse, StreamLayer, Window
from .wiring import INPUT, Wired, roots_of, sources_of

__all__ = [
    "index_entries",
    "infer_input_format",
    "infer_input_size",
    "keeps_format",
    "stream_formats",
    "stream_sizes",
]


class Formatted(Wired, Protocol):
    """An integer cell."""

    @property
    def input_format(self) -> Format: ...
    @property
    def output_format(self) -> Format: ...


class Sized(Wired, Protocol):
    """A cell, float or integer."""

    @property
    def input_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...


def stream_sizes(layers: Sequence[Wired], inputs: Mapping[str, int]) -> dict[str, int]:
    """By stream: its features. ``ValueError`` where a layer takes others than it gets.

    ``inputs`` are those of each input.
    """
    sizes = dict(inputs)
    for layer, (name, sources) in zip(layers, sources_of(layers).items(), strict=True):
        taken = [sizes[source] for source in sources]
        if isinstance(layer, StreamLayer):
            sizes[name] = layer.output_size(taken)
        else:
            cell: Sized = layer  # type: ignore[assignment]
            origin = f"the {sources[0]}" if sources[0] in inputs else f"layer {sources[0]}"
            require(
                taken[0] == cell.input_size,
                f"Layer {name} must take the {taken[0]} features that {origin} gives, "
                f"not {cell.input_size}",
            )
            sizes[name] = cell.output_size
    return sizes


def infer_input_size(layers: Sequence[Wired], root: str = INPUT) -> int:
    """Features of an input, from the first layer that needs a certain number of them.

    The features of every stream before such a layer are a multiple of the input's, and more.
    Those of streams that follow from another input are not known before a layer says them.
    """
    ways: dict[str, tuple[int, int] | None] = dict.fromkeys(roots_of(layers))
    ways[root] = (1, 0)  # a * input + b
    sources = sources_of(layers)
    for layer in layers:
        taken = [ways[source] for source in sources[layer.name]]
        needed: int
        match layer:
            case Embedding():
                way, needed = taken[0], 1
            case AttentionLayer():
                # Queries and keys have as many features.
                ways[layer.name] = taken[2]
                given = [way for way in taken[:2] if way is not None]
                known = [more for factor, more in given if not factor]
                asking = [way for way in given if way[0]]
                if not known or not asking:
                    continue
                way, needed = asking[0], known[0]
            case StreamLayer():
                ways[layer.name] = size_after(layer, taken)
                continue
            case _:
                way, needed = taken[0], layer.input_size  # type: ignore[attr-defined]
        factor, more = way or (0, 0)
        if factor:
            found, rest = divmod(needed - more, factor)
            require(
                found > 0 and not rest,
                f"Layer {layer.name} must take the features that {sources[layer.name][0]} gives, "
                f"{factor} times the input's and {more}, not {needed}",
            )
            return found
        size = layer.table.shape[1] if isinstance(layer, Embedding) else layer.output_size  # type: ignore[attr-defined]
        ways[layer.name] = (0, size)
    raise ValueError(f"Network must have a layer that says how many features its {root} has")


def size_after(
    layer: StreamLayer, taken: Sequence[tuple[int, int] | None]
) -> tuple[int, int] | None:
    """What follows from an input's size behind a layer that takes what follows from it."""
    if isinstance(layer, ArgMax):
        return 0, 1
    known = [way for way in taken if way is not None]
    if len(known) < len(taken):
        return None
    factor, more = known[0]
    if isinstance(layer, Concatenate):
        return sum(a for a, _ in known), sum(b for _, b in known)
    if isinstance(layer, Window):
        return layer.kernel * factor, layer.kernel * more
    return factor, more


def stream_formats(layers: Sequence[Wired], inputs: Mapping[str, Format]) -> dict[str, Format]:
    """By stream of an integer network: its format. ``ValueError`` where a layer takes another.

    ``inputs`` are those of each input.
    """
    formats = dict(inputs)
    for layer, (name, sources) in zip(layers, sources_of(layers).items(), strict=True):
        taken = [formats[source] for source in sources]
        if isinstance(layer, StreamLayer):
            formats[name] = layer.output_format(taken)
        else:
            cell: Formatted = layer  # type: ignore[assignment]
            require(
                taken[0] == cell.input_format,
                f"Layer {name} must take elements of {taken[0]} from {sources[0]}, "
                f"not of {cell.input_format}",
            )
            formats[name] = cell.output_format
    return formats


def infer_input_format(layers: Sequence[Wired], root: str = INPUT) -> Format | None:
    """Format of an integer network's input: what the first layer that asks for one wants of it.

    None if all that read it take what they get.
    """
    unchanged = {root}
    for layer, sources in zip(layers, sources_of(layers).values(), strict=True):
        if unchanged.isdisjoint(sources):
            continue
        if isinstance(layer, IntegerAttention):
            place = next(at for at, source in enumerate(sources) if source in unchanged)
            return layer.operands[place]
        if not isinstance(layer, StreamLayer):
            return layer.input_format  # type: ignore[attr-defined]
        if isinstance(layer, Embedding):
            return layer.index_format
        if keeps_format(layer):
            unchanged.add(layer.name)
    return None


def keeps_format(layer: Wired) -> bool:
    """Whether a layer passes on the values that it takes, and nothing but zeros besides."""
    if isinstance(layer, Pool):
        return not layer.is_mean
    return isinstance(layer, LastStep | Reverse | Window | Concatenate)


def index_entries(layers: Sequence[Wired], root: str = INPUT) -> int | None:
    """Where an input's elements are indices of tables: entries of the smallest; else None."""
    sources = sources_of(layers)
    same = {root}
    for layer in layers:
        if keeps_format(layer) and not same.isdisjoint(sources[layer.name]):
            same.add(layer.name)
    found = [
        layer.entries
        for layer in layers
        if isinstance(layer, Embedding) and sources[layer.name][0] in same
    ]
    return min(found, default=None)
