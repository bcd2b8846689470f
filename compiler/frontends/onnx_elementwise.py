"""Operators of ONNX that do something to every vector of a stream, by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .onnx_activations import ACTIVATIONS
from .onnx_node import Node
from .onnx_values import Filled
from .stream_elementwise import add, along_features, normalise, probabilities, scale
from .tensors import Stream

__all__ = ["ELEMENTWISE", "features_of"]

ONE, ZERO = np.ones(1), np.zeros(1)


def sum_(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Add`` and ``Sum``: streams, and constants for each feature."""
    streams = [node.stream(value) for value in arguments if isinstance(value, Stream)]
    found = add(node, streams) if len(streams) > 1 else streams[0]
    for value in arguments:
        if not isinstance(value, Stream):
            found = scale(node, found, ONE, constant_of(node, found, value))
    return (found,)


def difference(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    first, second = arguments
    if not isinstance(first, Stream):
        stream = node.stream(second)
        return (scale(node, stream, -ONE, constant_of(node, stream, first)),)
    stream = node.stream(first)
    if not isinstance(second, Stream):
        return (scale(node, stream, ONE, -constant_of(node, stream, second)),)
    return (add(node, [stream, scale(node, node.stream(second), -ONE, ZERO)]),)


def product(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Mul`` and ``Div``: a stream by a constant for each feature."""
    first, second = arguments
    divides = node.kind == "Div"
    if not isinstance(first, Stream) and not divides:
        first, second = second, first
    if isinstance(second, Stream):
        raise node.refusal(
            "divides by a computed tensor" if divides else "multiplies two computed tensors",
            "a tensor and a constant",
        )
    stream = node.stream(first)
    factor = constant_of(node, stream, second)
    if divides and not factor.all():
        raise node.refusal("divides by zero", "another constant")
    return (scale(node, stream, 1 / factor if divides else factor, ZERO),)


def negative(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    return (scale(node, node.stream(arguments[0]), -ONE, ZERO),)


def constant_of(node: Node, stream: Stream, value: Any) -> np.ndarray:
    if isinstance(value, Filled):
        return np.full(1, value.value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise node.refusal("takes a computed constant", "a constant for each feature")
    return along_features(node, stream, value)


def layer_normalisation(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``LayerNormalization`` of the features."""
    stream, gain, *bias = arguments
    stream = node.stream(stream)
    axis = stream.place(node.attributes.get("axis", -1), node.subject)
    if axis != len(stream.axes) - 1:
        raise node.refusal(f"normalises {len(stream.axes) - axis} axes", "the last one")
    size = gain.size if isinstance(gain, np.ndarray) else 0
    gain = features_of(node, gain, size)
    shift = features_of(node, bias[0], size) if bias and bias[0] is not None else np.zeros(size)
    epsilon = node.attributes.get("epsilon", 1e-5)
    return (normalise(node, stream, gain, shift, float(epsilon)),)


def batch_normalisation(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``BatchNormalization`` at inference: a factor and a bias for each feature."""
    stream = node.stream(arguments[0])
    if node.attributes.get("training_mode", 0):
        raise node.refusal("has training_mode=1", "training_mode=0")
    if stream.axes not in (("batch", "features"), ("batch", "features", "time")):
        raise node.axis_error(stream, "(batch, features) or (batch, features, time)")
    size = arguments[1].size if isinstance(arguments[1], np.ndarray) else 0
    gain, bias, mean, variance = (features_of(node, value, size) for value in arguments[1:])
    factor = gain / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return (scale(node, stream, factor, bias - mean * factor),)


def softmax(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    axis = node.attributes.get("axis", -1)
    return (probabilities(node, node.stream(arguments[0]), axis),)


def features_of(node: Node, value: Any, size: int) -> np.ndarray:
    """A constant for each feature, float64 (size,)."""
    if isinstance(value, Filled):
        return np.full(size, value.value)
    if not isinstance(value, np.ndarray) or value.size not in (1, size):
        raise node.refusal("has computed parameters", f"constants of {size} numbers")
    return np.broadcast_to(value.astype(np.float64).ravel(), (size,))


ELEMENTWISE: dict[str, Callable[[Node, list[Any]], tuple[Any, ...]]] = {
    "Add": sum_,
    "Sum": sum_,
    "Sub": difference,
    "Mul": product,
    "Div": product,
    "Neg": negative,
    **ACTIVATIONS,
    "LayerNormalization": layer_normalisation,
    "BatchNormalization": batch_normalisation,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
