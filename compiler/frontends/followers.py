"""What follows a layer's output element by element or vector by vector, made part of its cell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..cell import Value, constant, with_activation, with_output
from ..functions import Function
from ..graph import Affine
from ..layer_norm import layer_norm
from ..network import Layer
from ..streams import Embedding

__all__ = ["Activated", "Follower", "Normed", "Scaled"]


class Follower(Protocol):
    """Something done to every vector of a stream."""

    @property
    def monotone(self) -> bool:
        """Whether it may as well come before the largest value over time is taken."""

    def parts(self, sizes: Sequence[int | None]) -> "list[Follower] | None":
        """What it does to each of the streams that a vector is put together from.

        ``None`` if it needs the whole vector. Sizes that are not known are ``None``.
        """

    def layer(self, layer: Layer) -> Layer:
        """The cell with the outcome as its output; its states stay as they are."""

    def table(self, layer: Embedding) -> np.ndarray | None:
        """What becomes of a table of vectors; ``None`` if this is not exact."""


@dataclass(frozen=True)
class Activated:
    """A function of every element."""

    function: Function

    @property
    def monotone(self) -> bool:
        return self.function.name in ("relu", "sigmoid", "tanh")

    def parts(self, sizes: Sequence[int | None]) -> list[Follower] | None:
        return [self for _ in sizes]

    def layer(self, layer: Layer) -> Layer:
        return replace(layer, graph=with_activation(layer.graph, self.function))

    def table(self, layer: Embedding) -> np.ndarray | None:
        return self.function(layer.table)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Every feature times a number, plus another: a bias, or batch normalisation at inference.

    Parameters
    ----------
    scale, shift : numpy.ndarray
        Float64 (features,).
    """

    scale: np.ndarray
    shift: np.ndarray

    @property
    def monotone(self) -> bool:
        return bool(np.all(self.scale >= 0))

    def parts(self, sizes: Sequence[int | None]) -> list[Follower] | None:
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        ends = np.cumsum(known)[:-1]
        pairs = zip(np.split(self.scale, ends), np.split(self.shift, ends), strict=True)
        return [Scaled(scale, shift) for scale, shift in pairs]

    def layer(self, layer: Layer) -> Layer:
        affine = layer.graph.nodes[layer.graph.output]
        kept = layer.steps and not np.all(self.scale == 1)  # integers that cannot be scaled
        if layer.cell == "Linear" and isinstance(affine, Affine) and not kept:
            weights, bias = layer.parameters["y.x"], layer.parameters["y"]
            folded = {
                "y.x": weights * self.scale[:, None],
                "y": bias * self.scale + self.shift,
            }
            return replace(layer, parameters=folded)
        taken = set(layer.parameters)
        number = next(n for n in range(len(taken) + 1) if f"scale_{n}" not in taken)
        names = f"scale_{number}", f"shift_{number}"

        def follow(value: Value) -> Value:
            return value * constant(names[0], value) + constant(names[1], value)

        parameters = {**layer.parameters, names[0]: self.scale, names[1]: self.shift}
        return replace(layer, graph=with_output(layer.graph, follow), parameters=parameters)

    def table(self, layer: Embedding) -> np.ndarray | None:
        return layer.table * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class Normed:
    """Layer normalisation of every vector.

    Parameters
    ----------
    path : str
        Names the parameters; that of a module, or of a node.
    gain, bias : numpy.ndarray
        Float64 (features,).
    epsilon : float
        Added to the variance.
    """

    path: str
    gain: np.ndarray
    bias: np.ndarray
    epsilon: float

    @property
    def monotone(self) -> bool:
        return False

    def parts(self, sizes: Sequence[int | None]) -> list[Follower] | None:
        return None

    def layer(self, layer: Layer) -> Layer:
        name = "norm_" + re.sub(r"\W", "_", self.path)
        graph = with_output(
            layer.graph,
            lambda value: layer_norm([value], constant, name, epsilon=self.epsilon)[0],
        )
        parameters = {**layer.parameters, f"{name}_gain_0": self.gain, f"{name}_bias_0": self.bias}
        return replace(layer, graph=graph, parameters=parameters)

    def table(self, layer: Embedding) -> np.ndarray | None:
        distance = layer.table - layer.table.mean(axis=1, keepdims=True)
        variance = np.mean(distance**2, axis=1, keepdims=True)
        return distance / np.sqrt(variance + self.epsilon) * self.gain + self.bias
