"""Interprets an ONNX graph with streams in place of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..axes import AxisOrderError, axes_text
from ..errors import UnsupportedError
from ..network import Network
from ..steps import Steps, steps_of
from .builder import Builder
from .onnx_attention import factors_of_products, follow_attention
from .onnx_constants import MAX_ELEMENTS, fold
from .onnx_file import array_of, attributes_of, name_of
from .onnx_node import Node
from .onnx_operations import OPERATIONS
from .onnx_values import Value
from .stream_attention import Part
from .tensors import Probabilities, Size, Stream

__all__ = ["Source", "follow"]

Source = tuple[str, tuple[str, ...], tuple[Size, ...]]
"""An input: its name, its axes, and their lengths."""


def follow(
    nodes: Sequence[Any],
    constants: dict[str, Value],
    sources: Mapping[str, Source],
    output: str,
    max_steps: Steps,
) -> tuple[Network, str]:
    """The network that the nodes make of its inputs, and the input that its output follows.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
        Those that the output needs, in order.
    constants : dict of str to numpy.ndarray
        Initializers by name.
    sources : mapping of str to tuple
        By input of the network: name of the graph's input, its axes and their lengths.
    output : str
        Name of the graph's output.
    max_steps : int, optional
        Timesteps of the longest sequence; needed where one is walked backwards and the file
        leaves the time open.

    Raises
    ------
    AxisOrderError
        If an operator reads its input's axes in another order.
    UnsupportedError
        For what is not supported, by node and operator.
    """
    values: dict[str, Any] = {**constants, "": None}
    steps = steps_of(max_steps, sources)
    for root, (name, axes, sizes) in sources.items():
        values[name] = Stream((root,), axes, sizes)
        time = sizes[axes.index("time")]
        steps[root] = steps[root] or (time if isinstance(time, int) else None)
    builder = Builder(steps)
    factors = factors_of_products(nodes, [name for name, _, _ in sources.values()])
    room = MAX_ELEMENTS
    for node in nodes:
        stem = node.name or node.op_type.lower()
        attributes, count = attributes_of(node), len(node.output)
        context = Node(name_of(node), stem, builder, node.op_type, attributes, count)
        arguments = [values[argument] for argument in node.input]
        found = _evaluate(node, context, arguments, bool(factors.intersection(node.output)))
        for result in found:
            room -= result.size if isinstance(result, np.ndarray) else 0
        if room < 0:
            raise UnsupportedError(
                f"{context.subject} makes more than {MAX_ELEMENTS} elements of constants, which "
                f"are supported"
            )
        for place, result_name in enumerate(node.output):
            values[result_name] = found[place] if place < len(found) else _Missing(context.subject)
    layer = _output_of(values[output], output, sources, builder)
    return builder.network(layer), builder.length(layer).root


class _Missing:
    """An output of a node that no layer gives; a refusal once it is read."""

    def __init__(self, subject: str):
        self.subject = subject


def _evaluate(node: Any, context: Node, arguments: list[Any], factor: bool) -> tuple[Any, ...]:
    subject = context.subject
    for argument, name in zip(arguments, node.input, strict=True):
        if isinstance(argument, _Missing):
            raise UnsupportedError(
                f"{subject} reads {name}, an output of {argument.subject} that is not supported; "
                f"supported are outputs and final hidden states"
            )
    if node.domain not in ("", "ai.onnx"):
        raise UnsupportedError(f"{subject} is not an operator of ONNX itself, which are supported")
    if node.op_type == "Constant":
        return (_constant(context),)
    operation = OPERATIONS.get(node.op_type)
    if not any(isinstance(argument, Stream | Probabilities | Part) for argument in arguments):
        folded = fold(node.op_type, context.attributes, arguments, subject) if arguments else None
        if folded is not None:
            return (folded,)
    else:
        attended = follow_attention(context, arguments, factor)
        if attended is not None:
            return attended
        for argument in arguments:
            if isinstance(argument, Part):
                raise UnsupportedError(f"{subject} reads {argument.text}")
        if operation is not None:
            return operation(context, arguments)
    raise UnsupportedError(f"{subject} is not supported; supported are {', '.join(OPERATIONS)}")


def _constant(context: Node) -> np.ndarray:
    for name, value in context.attributes.items():
        match name:
            case "value":
                return array_of(value, context.subject)
            case "value_float" | "value_floats":
                return np.asarray(value, np.float32)
            case "value_int" | "value_ints":
                return np.asarray(value, np.int64)
    raise UnsupportedError(
        f"{context.subject} holds {', '.join(context.attributes)}; supported are numbers"
    )


def _output_of(value: Any, name: str, sources: Mapping[str, Source], builder: Builder) -> str:
    """The layer that gives the graph's output."""
    if isinstance(value, _Missing):
        raise UnsupportedError(f"Output {name} of {value.subject} is not supported")
    if isinstance(value, Probabilities | Part):
        raise UnsupportedError(f"Output {name} reads {value.text}")
    if not isinstance(value, Stream):
        raise UnsupportedError(f"Output {name} must be computed from the input, not be constant")
    given = sources[builder.length(value.parts[0]).root][1]
    order = [axis for axis in given if axis in ("batch", "time")]
    found = [axis for axis in value.axes if axis in ("batch", "time")]
    if found != [axis for axis in order if axis in found]:
        raise AxisOrderError(
            f"Output {name} has axes {axes_text(value.axes)} where the input has "
            f"{axes_text(given)}; supported is the same order"
        )
    if len(value.parts) > 1:
        raise UnsupportedError(
            f"Output {name} has axes {axes_text(value.axes)}; supported is one tensor of features"
        )
    if value.parts[0] in sources:
        raise UnsupportedError(f"Output {name} must be computed from the input, not be the same")
    return value.parts[0]
