"""Interprets an ONNX graph with streams in place of tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .axes import AxisOrderError, axes_text
from .builder import Builder
from .errors import UnsupportedError
from .network import Network
from .onnx_constants import MAX_ELEMENTS, fold
from .onnx_file import array_of, attributes_of, name_of
from .onnx_node import Node
from .onnx_operations import OPERATIONS
from .onnx_values import Value
from .steps import Steps, steps_of
from .tensors import Probabilities, Size, Stream
from .wiring import INPUT

__all__ = ["follow"]


def follow(
    nodes: Sequence[Any],
    constants: dict[str, Value],
    source: tuple[str, tuple[str, ...], tuple[Size, ...]],
    output: str,
    max_steps: Steps,
) -> Network:
    """The network that the nodes make of the input.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
        Those that the output needs, in order.
    constants : dict of str to numpy.ndarray
        Initializers by name.
    source : tuple
        Name of the graph's input, its axes and their lengths.
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
    name, axes, sizes = source
    values: dict[str, Any] = {**constants, "": None}
    values[name] = Stream((INPUT,), axes, sizes)
    time = sizes[axes.index("time")]
    steps = steps_of(max_steps, [INPUT])[INPUT] or (time if isinstance(time, int) else None)
    builder = Builder({INPUT: steps})
    room = MAX_ELEMENTS
    for node in nodes:
        stem = node.name or node.op_type.lower()
        attributes, count = attributes_of(node), len(node.output)
        context = Node(name_of(node), stem, builder, node.op_type, attributes, count)
        arguments = [values[argument] for argument in node.input]
        found = _evaluate(node, context, arguments)
        for result in found:
            room -= result.size if isinstance(result, np.ndarray) else 0
        if room < 0:
            raise UnsupportedError(
                f"{context.subject} makes more than {MAX_ELEMENTS} elements of constants, which "
                f"are supported"
            )
        for place, result_name in enumerate(node.output):
            values[result_name] = found[place] if place < len(found) else _Missing(context.subject)
    return builder.network(_output_of(values[output], output, axes, builder))


class _Missing:
    """An output of a node that no layer gives; a refusal once it is read."""

    def __init__(self, subject: str):
        self.subject = subject


def _evaluate(node: Any, context: Node, arguments: list[Any]) -> tuple[Any, ...]:
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
    if not any(isinstance(argument, Stream | Probabilities) for argument in arguments):
        folded = fold(node.op_type, context.attributes, arguments, subject) if arguments else None
        if folded is not None:
            return (folded,)
    elif operation is not None:
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


def _output_of(value: Any, name: str, given: tuple[str, ...], builder: Builder) -> str:
    """The layer that gives the graph's output."""
    if isinstance(value, _Missing):
        raise UnsupportedError(f"Output {name} of {value.subject} is not supported")
    if isinstance(value, Probabilities):
        raise UnsupportedError(f"Output {name} reads {value.text}")
    if not isinstance(value, Stream):
        raise UnsupportedError(f"Output {name} must be computed from the input, not be constant")
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
    if value.parts == (INPUT,):
        raise UnsupportedError(f"Output {name} must be computed from the input, not be the same")
    return value.parts[0]
