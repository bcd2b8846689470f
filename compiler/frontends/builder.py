"""Layers made from a model's graph, each under a name of its own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..cell import trace
from ..cells import Linear
from ..errors import UnsupportedError
from ..network import (
    Concatenate,
    Embedding,
    LastStep,
    Layer,
    Network,
    Pool,
    Reverse,
    StreamLayer,
    Window,
)
from ..wiring import INPUT, Length, sources_of
from .followers import Follower

__all__ = ["Builder"]


class Builder:
    """Collects layers; those that the output does not need are left out in the end.

    Parameters
    ----------
    max_steps : mapping of str to int or None
        By input: timesteps of the longest sequence; needed where a sequence is kept.
    """

    def __init__(self, max_steps: Mapping[str, int | None]) -> None:
        self.max_steps = max_steps
        self.layers: dict[str, Layer | StreamLayer] = {}
        self._stems: dict[str, str] = {}
        self._changed: dict[str, tuple[str, Follower]] = {}

    def fresh(self, stem: str) -> str:
        """A name that no layer has: the stem, cleaned, and a number if it is taken."""
        cleaned = re.sub(r"[^A-Za-z0-9_.]", "_", stem.strip("/").replace("/", ".")) or "layer"
        name = free(cleaned, (*self.max_steps, *self.layers))
        self._stems[name] = cleaned
        return name

    def add(self, layer: Layer | StreamLayer) -> str:
        """Append a layer that names its sources; returns its name."""
        assert layer.sources
        self.layers[layer.name] = layer
        return layer.name

    def cell(self, stem: str, layer: Layer, source: str) -> str:
        """Append a cell under another name."""
        return self.add(replace(layer, name=self.fresh(stem), sources=(source,)))

    def linear(self, stem: str, source: str, weights: np.ndarray, bias: np.ndarray) -> str:
        """Append weights (outputs, inputs) and a bias (outputs,)."""
        graph = trace(Linear(weights.shape[1], weights.shape[0]))
        parameters = {"y.x": weights, "y": bias}
        return self.cell(stem, Layer(stem, "Linear", graph, parameters), source)

    def reverse(self, stem: str, source: str, subject: str) -> str:
        """Append the stream of that name from its end.

        Raises
        ------
        UnsupportedError
            Without ``max_steps``.
        """
        steps = self.steps(source)
        if steps is None:
            raise UnsupportedError(
                f"{subject} walks sequences from their end and needs the timesteps of the longest: "
                f"max_steps must be given"
            )
        return self.add(Reverse(self.fresh(stem), steps, sources=(source,)))

    def length(self, name: str) -> Length:
        """Timesteps of a stream."""
        windows = []
        while name in self.layers:
            layer = self.layers[name]
            if isinstance(layer, Window) and (layer.lost, layer.stride) != (0, 1):
                windows.append((layer.lost, layer.stride))
            name = layer.sources[0]
        return Length(tuple(reversed(windows)), root=name)

    def steps(self, name: str) -> int | None:
        """Timesteps of a stream for the longest sequence; ``None`` where that is not known."""
        length = self.length(name)
        longest = self.max_steps[length.root]
        return None if longest is None else length.of(longest)

    def size(self, name: str) -> int | None:
        """Features of a stream; ``None`` where the input's would have to be known."""
        layer = self.layers.get(name)
        if layer is None:
            return None
        if isinstance(layer, Layer):
            return layer.output_size
        if isinstance(layer, Embedding):
            return int(layer.table.shape[1])
        sizes = [size for source in layer.sources if (size := self.size(source)) is not None]
        return layer.output_size(sizes) if len(sizes) == len(layer.sources) else None

    def follow(self, name: str, follower: Follower, stem: str, size: int | None) -> str | None:
        """The stream of that name with something done to each of its vectors.

        It becomes part of the cell that gives the stream. A selection, a reversal or a
        concatenation comes after it just as well. Where no cell gives the stream, as after a sum,
        a linear layer called ``stem`` that changes nothing carries it.

        Returns
        -------
        str or None
            Name of the new stream; ``None`` if no cell gives it and its size is not known.
        """
        layer = self.layers.get(name)
        match layer:
            case Layer():
                return self._change(layer, follower)
            case LastStep() | Reverse():
                return self._before(layer, [follower], stem, size)
            case Pool(function="max") if follower.monotone:
                return self._before(layer, [follower], stem, size)
            case Concatenate():
                parts = follower.parts([self.size(source) for source in layer.sources])
                if parts is not None:
                    return self._before(layer, parts, stem, None)
            case Embedding():
                table = follower.table(layer)
                if table is not None:
                    return self._copy(replace(layer, table=table))
        if size is None:
            return None
        carrier = self.layers[self.linear(stem, name, np.eye(size), np.zeros(size))]
        assert isinstance(carrier, Layer)
        return self._change(carrier, follower)

    def text(self, name: str) -> str:
        """A stream as sentences call it."""
        return f"layer {name}" if name in self.layers else f"the {name}"

    def network(self, output: str) -> Network:
        """The layers that the output needs, which becomes the last one."""
        self._share(self._needed(output))
        needed = self._needed(output)
        kept = [layer for name, layer in self.layers.items() if name in needed]
        names = self._final_names(kept)
        return Network(
            _as_chain(
                [
                    replace(
                        layer,
                        name=names[layer.name],
                        sources=tuple(names[source] for source in layer.sources),
                    )
                    for layer in kept
                ]
            )
        )

    def _needed(self, output: str) -> set[str]:
        sources = sources_of(list(self.layers.values()))
        needed = {output}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(sources[name])
        return needed

    def _share(self, needed: set[str]) -> None:
        """Let what follows a recurrent layer that has other readers too be carried after it.

        The layer would be computed twice otherwise. A linear layer is: that costs no more.
        """
        for name in [name for name in self.layers if name in needed]:
            followers: list[Follower] = []
            origin = name
            while origin in self._changed and (origin == name or origin not in needed):
                origin, follower = self._changed[origin]
                followers.append(follower)
            layer = self.layers[origin]
            if origin == name or origin not in needed or layer.cell == "Linear":  # type: ignore[union-attr]
                continue
            assert isinstance(layer, Layer)
            size = layer.output_size
            graph = trace(Linear(size, size))
            parameters = {"y.x": np.eye(size), "y": np.zeros(size)}
            carrier = Layer(name, "Linear", graph, parameters, (origin,))
            for follower in reversed(followers):
                carrier = follower.layer(carrier)
            self.layers[name] = carrier

    def _final_names(self, layers: Sequence[Layer | StreamLayer]) -> dict[str, str]:
        """Names without the numbers of what was left out, cells first: recipes speak of them."""
        names = {root: root for root in self.max_steps}
        for layer in sorted(layers, key=lambda layer: not isinstance(layer, Layer)):
            names[layer.name] = free(self._stems[layer.name], names.values())
        return names

    def _change(self, layer: Layer, follower: Follower) -> str:
        name = self._copy(follower.layer(layer))
        self._changed[name] = (layer.name, follower)
        return name

    def _before(
        self, layer: StreamLayer, followers: Sequence[Follower], stem: str, size: int | None
    ) -> str | None:
        """The layer on what its sources are with the followers done to them."""
        sources = []
        for source, follower in zip(layer.sources, followers, strict=True):
            known = self.size(source) if size is None else size
            found = self.follow(source, follower, stem, known)
            if found is None:
                return None
            sources.append(found)
        return self._copy(replace(layer, sources=tuple(sources)))

    def _copy(self, layer: Layer | StreamLayer) -> str:
        """Append a changed layer under a name of its own; the old one may have other readers."""
        return self.add(replace(layer, name=self.fresh(self._stems[layer.name])))


def free(stem: str, taken: Iterable[str]) -> str:
    """The stem, with a number if hardware would give it the name of one that is taken."""
    names = {name.replace(".", "_") for name in taken}
    name, count = stem, 1
    while name.replace(".", "_") in names:
        name, count = f"{stem}_{count}", count + 1
    return name


def _as_chain(layers: Sequence[Layer | StreamLayer]) -> tuple[Layer | StreamLayer, ...]:
    """Layers without sources where these are the layer before, as networks made by hand are."""
    before = [INPUT, *(layer.name for layer in layers)]
    return tuple(
        replace(layer, sources=()) if layer.sources == (name,) else layer
        for layer, name in zip(layers, before, strict=False)
    )
