"""The float network: a chain of layers that map a stream of vectors to a stream of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .errors import DeltaloomError
from .graph import Affine, Constant, Graph

__all__ = ["LastStep", "Layer", "Network", "parameter_shapes"]


def parameter_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shape of every weight matrix (``gate.operand``), bias (``gate``) and constant of a graph."""
    shapes: dict[str, tuple[int, ...]] = {}
    for _, affine in graph.of(Affine):
        for path in affine.paths:
            shapes[affine.key(path)] = (affine.size, graph.nodes[path.operand].size)
        shapes[affine.name] = (affine.size,)
    return shapes | {constant.name: (constant.size,) for _, constant in graph.of(Constant)}


@dataclass(frozen=True)
class Layer:
    """A cell graph with its float parameters.

    Parameters
    ----------
    name : str
        Unique within the network; ``<module>.<index>`` for a layer of a torch module.
    cell : str
        Name of the cell's class, for reports.
    graph : Graph
        One timestep.
    parameters : mapping of str to numpy.ndarray
        Float64 weights (rows, columns), biases (rows,) and constants (size,) by the names of
        :func:`parameter_shapes`.
    """

    name: str
    cell: str
    graph: Graph
    parameters: Mapping[str, np.ndarray]

    def check(self) -> None:
        """Raise unless the parameters are finite and of the graph's shapes."""
        self.graph.check()
        shapes = parameter_shapes(self.graph)
        if set(shapes) != set(self.parameters):
            raise DeltaloomError(
                f"Layer {self.name} must have the parameters {sorted(shapes)}, "
                f"not {sorted(self.parameters)}"
            )
        for name, shape in shapes.items():
            values = self.parameters[name]
            if values.shape != shape:
                raise DeltaloomError(
                    f"Parameter {self.name}.{name} must have shape {shape}, not {values.shape}"
                )
            if not np.all(np.isfinite(values)):
                raise DeltaloomError(
                    f"Parameter {self.name}.{name} must be finite; it holds NaN or infinity"
                )

    @property
    def input_size(self) -> int:
        return self.graph.input[1].size

    @property
    def output_size(self) -> int:
        return self.graph.nodes[self.graph.output].size


@dataclass(frozen=True)
class LastStep:
    """Keeps the last timestep of every sequence and drops the others."""

    name: str


@dataclass(frozen=True)
class Network:
    """A chain of layers.

    Input and output are (time, features) for each sequence; after a :class:`LastStep` the time
    has length one, and the network's callers see (features,).
    """

    layers: tuple[Layer | LastStep, ...]

    def check(self) -> None:
        names = [layer.name for layer in self.layers]
        assert len(set(names)) == len(names), f"layer names repeat: {names}"
        computing = [layer for layer in self.layers if isinstance(layer, Layer)]
        if not computing:
            raise DeltaloomError("Network must have at least one layer that computes")
        if isinstance(self.layers[0], LastStep):
            raise DeltaloomError("Network must not start with the selection of the last timestep")
        for layer in computing:
            layer.check()
        for before, after in zip(computing, computing[1:], strict=False):
            if before.output_size != after.input_size:
                raise DeltaloomError(
                    f"Layer {after.name} must take the {before.output_size} features that layer "
                    f"{before.name} gives, not {after.input_size}"
                )
        if sum(isinstance(layer, LastStep) for layer in self.layers) > 1:
            raise DeltaloomError("Network must select the last timestep at most once")
