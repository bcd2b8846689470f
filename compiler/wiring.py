"""Which stream goes where: the same rules for float and integer networks.

A network's layers are in topological order, each names its sources, and a stream is known by the
name of the layer that gives it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .attention import AttentionLayer
from .fixed import Format
from .integer_attention import IntegerAttention
from .streams import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Pool,
    Reverse,
    StreamLayer,
    Sum,
    Window,
)

__all__ = [
    "INPUT",
    "Length",
    "Wired",
    "check_wiring",
    "index_entries",
    "infer_input_format",
    "infer_input_size",
    "keeps_format",
    "readers_of",
    "sources_of",
    "stream_formats",
    "stream_lengths",
    "stream_sizes",
]

INPUT = "input"
"""Name of the network's input among a layer's sources."""


class Wired(Protocol):
    """A layer as a place in the network: a cell has its own sizes, a stream layer computes them."""

    @property
    def name(self) -> str: ...
    @property
    def sources(self) -> tuple[str, ...]: ...


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


@dataclass(frozen=True)
class Length:
    """How the timesteps of a stream follow from those of the input.

    Parameters
    ----------
    windows : tuple of (int, int)
        ``(lost, stride)`` of the windows on the way that change it.
    once : bool
        One vector a sequence, whatever the windows before it.
    """

    windows: tuple[tuple[int, int], ...] = ()
    once: bool = False

    def of(self, steps: int) -> int:
        """Timesteps of the stream for an input of so many; less than 1 where there is none."""
        for lost, stride in self.windows:
            if steps < 1:
                return steps
            steps = (steps - lost - 1) // stride + 1
        return 1 if self.once and steps > 0 else steps

    def least(self, steps: int = 1) -> int:
        """The fewest timesteps of the input that give so many of the stream."""
        for lost, stride in reversed(self.windows):
            steps = (steps - 1) * stride + lost + 1
            steps = max(steps, 1)
        return steps

    def most(self, steps: int) -> int:
        """The most timesteps of the input that give no more than so many; may be less than 1."""
        for lost, stride in reversed(self.windows):
            steps = steps * stride + lost
        return steps


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def sources_of(layers: Sequence[Wired]) -> dict[str, tuple[str, ...]]:
    """By layer: the streams that it takes, in order."""
    names = [INPUT, *(layer.name for layer in layers)]
    return {
        layer.name: layer.sources or (before,) for layer, before in zip(layers, names, strict=False)
    }


def readers_of(layers: Sequence[Wired]) -> dict[str, list[str]]:
    """By stream: the layers that take it, once for each time that they do."""
    found: dict[str, list[str]] = {name: [] for name in (INPUT, *(layer.name for layer in layers))}
    for reader, names in sources_of(layers).items():
        for name in names:
            found[name].append(reader)
    return found


def check_wiring(layers: Sequence[Wired]) -> None:
    """Raise ``ValueError`` unless every source is an earlier stream and every stream is used."""
    require(bool(layers), "Network must have at least one layer")
    names = [layer.name for layer in layers]
    require(all(names), "Layer names must not be empty")
    require(len(set(names)) == len(names), f"Layer names must differ, not be {names}")
    require(INPUT not in names, f"Layers must not be named '{INPUT}', as the network's input is")
    known = [INPUT]
    for layer in layers:
        sources = layer.sources or (known[-1],)
        for source in sources:
            require(
                source in known,
                f"Layer {layer.name} must read the input or layers before it, not '{source}'",
            )
        if isinstance(layer, Concatenate | Sum):
            require(len(sources) > 1, f"Layer {layer.name} must have at least two sources")
        elif isinstance(layer, AttentionLayer):
            require(
                len(sources) == 3,
                f"Layer {layer.name} must have three sources, of queries, keys and values, "
                f"not {len(sources)}",
            )
        else:
            require(
                len(sources) == 1, f"Layer {layer.name} must have one source, not {len(sources)}"
            )
        if isinstance(layer, StreamLayer):
            layer.check()
        known.append(layer.name)
    readers = readers_of(layers)
    for name in known[:-1]:
        require(bool(readers[name]), f"Stream {name} must be read by a layer")
    stream_lengths(layers)


def stream_lengths(layers: Sequence[Wired]) -> dict[str, Length]:
    """By stream: its timesteps. ``ValueError`` where layers need others than they get."""
    lengths = {INPUT: Length()}
    for layer, sources in zip(layers, sources_of(layers).values(), strict=True):
        taken = [lengths[source] for source in sources]
        here = taken[0]
        if isinstance(layer, AttentionLayer) and not layer.causal:
            sources, taken = sources[1:], taken[1:]
        require(
            len(set(taken)) == 1,
            f"Layer {layer.name} must have sources with the same timesteps, which "
            f"{' and '.join(sources)} do not have",
        )
        if isinstance(layer, StreamLayer) and (layer.once or isinstance(layer, Reverse | Window)):
            require(
                not here.once,
                f"Layer {layer.name} must take a stream of timesteps, not the one vector a "
                f"sequence that {sources[0]} gives",
            )
        if isinstance(layer, StreamLayer) and layer.once:
            here = Length(once=True)
        if isinstance(layer, Window) and (layer.lost, layer.stride) != (0, 1):
            here = Length((*here.windows, (layer.lost, layer.stride)))
        lengths[layer.name] = here
    return lengths


def stream_sizes(layers: Sequence[Wired], input_size: int) -> dict[str, int]:
    """By stream: its features. ``ValueError`` where a layer takes others than it gets."""
    sizes = {INPUT: input_size}
    for layer, (name, sources) in zip(layers, sources_of(layers).items(), strict=True):
        taken = [sizes[source] for source in sources]
        if isinstance(layer, StreamLayer):
            sizes[name] = layer.output_size(taken)
        else:
            cell: Sized = layer  # type: ignore[assignment]
            origin = "the input" if sources[0] == INPUT else f"layer {sources[0]}"
            require(
                taken[0] == cell.input_size,
                f"Layer {name} must take the {taken[0]} features that {origin} gives, "
                f"not {cell.input_size}",
            )
            sizes[name] = cell.output_size
    return sizes


def infer_input_size(layers: Sequence[Wired]) -> int:
    """Features of the network's input, from the first layer that needs a certain number of them.

    The features of every stream before such a layer are a multiple of the input's, and more.
    """
    ways = {INPUT: (1, 0)}  # a * input + b
    sources = sources_of(layers)
    for layer in layers:
        taken = [ways[source] for source in sources[layer.name]]
        factor, more = taken[0]
        match layer:
            case Embedding():
                needed = 1
            case StreamLayer():
                if isinstance(layer, AttentionLayer):
                    factor, more = taken[2]
                elif isinstance(layer, Concatenate):
                    factor, more = sum(a for a, _ in taken), sum(b for _, b in taken)
                elif isinstance(layer, Window):
                    factor, more = layer.kernel * factor, layer.kernel * more
                elif isinstance(layer, ArgMax):
                    factor, more = 0, 1
                ways[layer.name] = (factor, more)
                continue
            case _:
                needed = layer.input_size  # type: ignore[attr-defined]
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
    raise ValueError("Network must have a layer that says how many features its input has")


def stream_formats(layers: Sequence[Wired], input_format: Format) -> dict[str, Format]:
    """By stream of an integer network: its format. ``ValueError`` where a layer takes another."""
    formats = {INPUT: input_format}
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


def infer_input_format(layers: Sequence[Wired]) -> Format | None:
    """Format of an integer network's input: what the first layer that asks for one wants of it.

    None if all that read it take what they get.
    """
    unchanged = {INPUT}
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


def index_entries(layers: Sequence[Wired]) -> int | None:
    """Where the input's elements are indices of tables: entries of the smallest; else None."""
    sources = sources_of(layers)
    same = {INPUT}
    for layer in layers:
        if keeps_format(layer) and not same.isdisjoint(sources[layer.name]):
            same.add(layer.name)
    found = [
        layer.entries
        for layer in layers
        if isinstance(layer, Embedding) and sources[layer.name][0] in same
    ]
    return min(found, default=None)
