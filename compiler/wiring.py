"""Which stream goes where: the same rules for float and integer networks.

A network's layers are in topological order, each names its sources, and a stream is known by the
name of the layer that gives it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .attention import AttentionLayer
from .checks.rules import require
from .streams import Concatenate, Reverse, StreamLayer, Sum, Window

__all__ = [
    "INPUT",
    "MEMORY",
    "Length",
    "Wired",
    "check_wiring",
    "readers_of",
    "roots_of",
    "sources_of",
    "stream_lengths",
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
