"""Layers made from an ONNX graph, each under a name of its own."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .cell import trace
from .cells import Linear
from .errors import UnsupportedError
from .graph import Activation
from .network import Concatenate, LastStep, Layer, Network, Reverse, StreamLayer
from .wiring import INPUT, sources_of

__all__ = ["Builder"]


class Builder:
    """Collects layers; those that the output does not need are left out in the end."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer | StreamLayer] = {}

    def fresh(self, stem: str) -> str:
        """A name that no layer has: the stem, cleaned, and a number if it is taken."""
        cleaned = re.sub(r"[^A-Za-z0-9_.]", "_", stem.strip("/").replace("/", ".")) or "layer"
        taken = {name.replace(".", "_") for name in (INPUT, *self.layers)}  # as hardware names them
        name, count = cleaned, 1
        while name.replace(".", "_") in taken:
            name, count = f"{cleaned}_{count}", count + 1
        return name

    def add(self, layer: Layer | StreamLayer) -> str:
        """Append a layer that names its sources; returns its name."""
        assert layer.sources
        self.layers[layer.name] = layer
        return layer.name

    def linear(self, stem: str, source: str, weights: np.ndarray, bias: np.ndarray) -> str:
        """Append weights (outputs, inputs) and a bias (outputs,)."""
        graph = trace(Linear(weights.shape[1], weights.shape[0]))
        parameters = {"y.x": weights, "y": bias}
        return self.add(Layer(self.fresh(stem), "Linear", graph, parameters, (source,)))

    def with_bias(self, name: str, bias: np.ndarray, subject: str) -> str:
        """The linear layer of that name with another bias added."""
        layer = self.layers.get(name)
        if (
            not isinstance(layer, Layer)
            or layer.cell != "Linear"
            or any(layer.graph.of(Activation))
        ):
            raise UnsupportedError(
                f"{subject} adds a constant to {self.text(name)}; supported is a bias right after "
                f"a matrix product"
            )
        if bias.size not in (1, layer.output_size):
            raise UnsupportedError(
                f"{subject} adds {bias.size} constants to {layer.output_size} features; supported "
                f"is one for each"
            )
        parameters = {**layer.parameters, "y": layer.parameters["y"] + bias}
        return self._copy(replace(layer, parameters=parameters))

    def with_activation(self, name: str, function: str, subject: str) -> str:
        """The stream of that name with ``function`` on every element.

        It becomes part of the cell that gives the stream. A selection, a reversal or a
        concatenation comes after it just as well.
        """
        layer = self.layers.get(name)
        match layer:
            case Layer():
                size, graph = layer.output_size, layer.graph
                names = {node.name for node in graph.nodes}
                free = next(
                    f"{function}{n}" for n in range(len(names) + 1) if f"{function}{n}" not in names
                )
                node = Activation(name=free, size=size, operand=graph.output, function=function)
                nodes = (*graph.nodes, node)
                graph = replace(graph, nodes=nodes, output=len(graph.nodes))
                return self._copy(replace(layer, graph=graph))
            case LastStep() | Reverse() | Concatenate():
                sources = tuple(
                    self.with_activation(source, function, subject) for source in layer.sources
                )
                return self._copy(replace(layer, sources=sources))
        raise UnsupportedError(
            f"{subject} follows {self.text(name)}; supported is an activation after a matrix "
            f"product, a convolution or a recurrent operator"
        )

    def text(self, name: str) -> str:
        """A stream as sentences call it."""
        return "the input" if name == INPUT else f"layer {name}"

    def network(self, output: str) -> Network:
        """The layers that the output needs, which becomes the last one."""
        sources = sources_of(list(self.layers.values()))
        needed = {output}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(sources[name])
        return Network(_as_chain([self.layers[name] for name in self.layers if name in needed]))

    def _copy(self, layer: Layer | StreamLayer) -> str:
        """Append a changed layer under a name of its own; the old one may have other readers."""
        return self.add(replace(layer, name=self.fresh(layer.name)))


def _as_chain(layers: Sequence[Layer | StreamLayer]) -> tuple[Layer | StreamLayer, ...]:
    """Layers without sources where these are the layer before, as networks made by hand are."""
    before = [INPUT, *(layer.name for layer in layers)]
    return tuple(
        replace(layer, sources=()) if layer.sources == (name,) else layer
        for layer, name in zip(layers, before, strict=False)
    )
