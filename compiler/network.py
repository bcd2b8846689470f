"""The float network: layers that map streams of vectors to a stream of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .attention import Attention
from .errors import DeltaloomError
from .graph import Affine, Constant, Graph, State
from .stream_inference import infer_input_size, stream_sizes
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
from .wiring import INPUT, check_wiring, roots_of, stream_lengths

__all__ = [
    "ArgMax",
    "Attention",
    "Concatenate",
    "Embedding",
    "LastStep",
    "Layer",
    "Network",
    "Pool",
    "Reverse",
    "StreamLayer",
    "Sum",
    "Window",
    "parameter_shapes",
]


def parameter_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shape of every weight matrix (``gate.operand``), bias (``gate``) and constant of a graph."""
    shapes: dict[str, tuple[int, ...]] = {}
    for _, affine in graph.of(Affine):
        for path in affine.paths:
            columns = path.columns(graph.nodes[path.operand].size)
            shapes[affine.key(path)] = (affine.rows, columns)
        shapes[affine.name] = (affine.rows,)
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
    sources : tuple of str
        The layer whose output it takes; empty: the layer before it. ``"input"`` is the network's
        input.
    initial : mapping of str to numpy.ndarray
        Float64 (size,) by state: what a sequence starts from; missing means zero.
    steps : mapping of str to float
        By weight matrix: what one unit of the integers is worth that the weights already are, as
        after training with quantized weights. Quantization keeps such integers.
    """

    name: str
    cell: str
    graph: Graph
    parameters: Mapping[str, np.ndarray]
    sources: tuple[str, ...] = ()
    initial: Mapping[str, np.ndarray] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raise unless parameters and initial states are finite and of the graph's shapes."""
        self.graph.check()
        sizes = {state.name: state.size for _, state in self.graph.of(State)}
        for name, values in self.initial.items():
            if values.shape != (sizes.get(name),):
                raise DeltaloomError(
                    f"Initial state {self.name}.{name} must be a vector of a state's size, "
                    f"not have shape {values.shape}"
                )
            if not np.all(np.isfinite(values)):
                raise DeltaloomError(
                    f"Initial state {self.name}.{name} must be finite; it holds NaN or infinity"
                )
        for name, step in self.steps.items():
            if not (np.isfinite(step) and step > 0):
                raise DeltaloomError(
                    f"Step of the weights {self.name}.{name} must be positive, not {step}"
                )
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
class Network:
    """Layers between streams of vectors: a graph without cycles, in topological order.

    The last layer gives the output; every other stream is read by at least one layer, and one
    that several read is copied to all of them. Input and output are (time, features) for each
    sequence; behind a layer that gives one vector a sequence there is no time.

    A layer may read ``"memory"``: the network then takes pairs of sequences, one of its memory and
    one of its input. Attention to whole sequences brings them together: its queries follow from
    the input, as the output does, its keys and values from the memory.
    """

    layers: tuple[Layer | StreamLayer, ...]

    @property
    def computing(self) -> tuple[Layer, ...]:
        """The cells."""
        return tuple(layer for layer in self.layers if isinstance(layer, Layer))

    @property
    def input_size(self) -> int:
        """Features of the input."""
        return self.inputs[INPUT]

    @property
    def inputs(self) -> dict[str, int]:
        """Features of the input, and before it of the memory if there is one."""
        return {root: infer_input_size(self.layers, root) for root in roots_of(self.layers)}

    @property
    def once(self) -> bool:
        """Whether the output is one vector a sequence."""
        return stream_lengths(self.layers)[self.layers[-1].name].once

    def check(self) -> None:
        if not any(isinstance(layer, Layer | Attention) for layer in self.layers):
            raise DeltaloomError("Network must have at least one layer that computes")
        for layer in self.computing:
            layer.check()
        try:
            check_wiring(self.layers)
            stream_sizes(self.layers, self.inputs)
        except ValueError as error:
            raise DeltaloomError(str(error)) from None
