"""Which stream goes where: the same rules for float and integer networks.

A network's layers are in topological order, each names its sources, and a stream is known by the
name of the layer that gives it.
"""

from collections.abc import Mapping, Sequence
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
    "MEMORY",
    "Length",
    "Wired",
    "check_wiring",
    "index_entries",
    "infer_input_format",
    "infer_input_size",
    "keeps_format",
    "readers_of",
    "roots_of",
    "sources_of",
    "stream_formats",
    "stream_lengths",
    "stream_sizes",
]

INPUT = "input"
"""Name of the network's input among a layer's sources."""

MEMORY = "memory"
"""Name of a second input, if one is read: whole sequences that the input's vectors attend to."""


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
    """How the timesteps of a stream follow from those of an input.

    Parameters
    ----------
    root : str
        The input.
    windows : tuple of (int, int)
        ``(lost, stride)`` of the windows on the way that change it.
    once : bool
        One vector a sequence, whatever the windows before it.
    """

    windows: tuple[tuple[int, int], ...] = ()
    once: bool = False
    root: str = INPUT

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


def roots_of(layers: Sequence[Wired]) -> tuple[str, ...]:
    """The inputs of a network, in the order in which a pair of their sequences comes.

    There is a memory if it is read, and no layer has its name.
    """
    read = any(MEMORY in layer.sources for layer in layers)
    return (MEMORY, INPUT) if read and all(layer.name != MEMORY for layer in layers) else (INPUT,)


def sources_of(layers: Sequence[Wired]) -> dict[str, tuple[str, ...]]:
    """By layer: the streams that it takes, in order."""
    names = [INPUT, *(layer.name for layer in layers)]
    return {
        layer.name: layer.sources or (before,) for layer, before in zip(layers, names, strict=False)
    }


def readers_of(layers: Sequence[Wired]) -> dict[str, list[str]]:
    """By stream: the layers that take it, once for each time that they do."""
    names = (*roots_of(layers), *(layer.name for layer in layers))
    found: dict[str, list[str]] = {name: [] for name in names}
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
    known = [*roots_of(layers)]
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
    lengths = {root: Length(root=root) for root in roots_of(layers)}
    for layer, sources in zip(layers, sources_of(layers).values(), strict=True):
        taken = [lengths[source] for source in sources]
        here = taken[0]
        check_roots(layer, [length.root for length in taken])
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
            here = Length(once=True, root=here.root)
        if isinstance(layer, Window) and (layer.lost, layer.stride) != (0, 1):
            here = Length((*here.windows, (layer.lost, layer.stride)), root=here.root)
        lengths[layer.name] = here
    require(here.root == INPUT, "Network must give what follows from its input, not its memory")
    return lengths


def check_roots(layer: Wired, roots: Sequence[str]) -> None:
    """A layer takes streams of one input; or asks the memory, whole sequences, with the other."""
    if len(set(roots)) == 1:
        return
    require(
        isinstance(layer, AttentionLayer) and not layer.causal and roots[1:] == [MEMORY] * 2,
        f"Layer {layer.name} must not mix streams of the input and of the memory: attention to "
        f"whole sequences does, with queries of the input and keys and values of the memory",
    )


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
