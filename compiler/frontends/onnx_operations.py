"""Operators of ONNX that compute with streams, by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..axes import BATCH_FIRST, TIME_FIRST, AxisOrderError, axes_text
from ..errors import UnsupportedError
from .onnx_attention import attention
from .onnx_constants import axes_of
from .onnx_elementwise import ELEMENTWISE, features_of
from .onnx_node import Node
from .onnx_recurrent import read_recurrent
from .onnx_shapes import SHAPES, gather_parts
from .onnx_values import Given
from .stream_moves import last_of
from .stream_operations import arg_max, convolve, directions, embed, multiply, pool
from .tensors import Probabilities, Size, Stream

__all__ = ["OPERATIONS"]


def recurrent(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``LSTM``, ``GRU``, ``RNN``: Y, and Y_h without its last step where nobody reads it."""
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    inputs = dict(zip(names, arguments, strict=False))
    stream = node.stream(inputs["X"])
    found = read_recurrent(node.kind, node.stem, node.attributes, inputs, node.subject)
    order = BATCH_FIRST if found.batch_first else TIME_FIRST
    axes = stream.axes
    if "batch" not in axes and axes.count("one") == 1:  # a single sequence
        axes = tuple("batch" if axis == "one" else axis for axis in axes)
    if axes != order:
        error = AxisOrderError if set(axes) <= set(order) else UnsupportedError
        raise error(
            f"{node.subject} has layout={int(found.batch_first)} and reads {axes_text(order)}, "
            f"but its input has axes {axes_text(stream.axes)}"
        )
    lengths = inputs.get("sequence_lens")
    time = stream.sizes[order.index("time")]
    if lengths is not None and not (isinstance(lengths, np.ndarray) and np.all(lengths == time)):
        raise node.refusal("has sequence_lens", "sequences that are all of full length")
    (source,) = stream.parts
    outputs, ends = directions(node, source, found.layers, found.reversed)
    finals = tuple(last_of(node, name, f"{node.stem}.last") for name in ends)
    stack = ("stack" if len(outputs) > 1 else "one", len(outputs))
    stream = _with_batch_of(stream, inputs.get("initial_h"), order)
    batch: tuple[int, Size] = (order.index("batch"), stream.sizes[order.index("batch")])
    hidden = found.layers[0].output_size
    h_sizes: tuple[Size, ...]
    if found.batch_first:
        y_axes, y_sizes = (*order[:2], stack[0]), (*stream.sizes[:2], stack[1])
        h_axes, h_sizes = ("batch", stack[0]), (batch[1], stack[1])
    else:
        y_axes, y_sizes = ("time", stack[0], "batch"), (time, stack[1], batch[1])
        h_axes, h_sizes = (stack[0], "batch"), (stack[1], batch[1])
    y = Stream(outputs, (*y_axes, "features"), (*y_sizes, hidden))
    y_h = Stream(finals, (*h_axes, "features"), (*h_sizes, hidden))
    return y, y_h


def _with_batch_of(stream: Stream, start: Any, order: tuple[str, ...]) -> Stream:
    """The stream with the batch that an initial state is made for."""
    if not isinstance(start, Given) or len(start.sizes) != 3:
        return stream
    place = order.index("batch")  # where the state has the layers, the stream has its time
    return stream.with_axis(place, stream.axes[place], start.sizes[place] or stream.sizes[place])


def linear(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``MatMul``, and ``Gemm`` without a transposed input."""
    stream, weights = node.stream(arguments[0]), arguments[1]
    if not isinstance(weights, np.ndarray) or weights.ndim != 2 or weights.dtype.kind != "f":
        raise node.refusal("multiplies by a computed tensor", "a constant matrix")
    if node.attributes.get("transA", 0):
        raise node.refusal("has transA=1", "transA=0")
    w = weights.astype(np.float64) * node.attributes.get("alpha", 1.0)
    w = w if node.attributes.get("transB", 0) else w.T
    bias = np.zeros(len(w))
    if len(arguments) > 2 and arguments[2] is not None:
        bias += features_of(node, arguments[2], len(w)) * node.attributes.get("beta", 1.0)
    return (multiply(node, stream, np.array(w), bias),)


def convolution(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Conv`` over time."""
    stream, kernel = node.stream(arguments[0]), arguments[1]
    if not isinstance(kernel, np.ndarray) or kernel.ndim < 3 or kernel.dtype.kind != "f":
        raise node.refusal("has computed weights", "a constant kernel over time")
    attributes = node.attributes
    if attributes.get("group", 1) != 1:
        raise node.refusal(f"has group={attributes['group']}", "group=1")
    spare = [place for place in range(2, len(stream.axes)) if stream.axes[place] == "one"]
    if kernel.ndim == 4 == len(stream.axes) and len(spare) == 1:
        return (planar_convolution(node, stream, spare[0], kernel, arguments[2:]),)
    if kernel.ndim != 3:
        raise node.refusal(f"has a kernel of {kernel.ndim - 2} axes", "one over time")
    bias = np.zeros(len(kernel))
    if len(arguments) > 2 and arguments[2] is not None:
        bias += features_of(node, arguments[2], len(kernel))
    (stride,), (dilation,) = attributes.get("strides", [1]), attributes.get("dilations", [1])
    padding = padding_of(node, dilation * (kernel.shape[2] - 1), stride)
    return (convolve(node, stream, kernel.astype(np.float64), bias, stride, dilation, padding),)


def padding_of(node: Node, span: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a sequence."""
    match node.attributes.get("auto_pad", "NOTSET"):
        case "NOTSET":
            left, right = node.attributes.get("pads", [0, 0])
            return left, right
        case "VALID":
            return 0, 0
        case "SAME_UPPER" | "SAME_LOWER" as kind if stride == 1:
            less, more = span // 2, span - span // 2
            return (less, more) if kind == "SAME_UPPER" else (more, less)
        case kind:
            raise node.refusal(f"has auto_pad={kind} and strides of {stride}", "explicit pads")


def planar_convolution(
    node: Node, stream: Stream, place: int, kernel: np.ndarray, bias: list[Any]
) -> Stream:
    """A convolution of two axes, one of them one long, as exports of Keras have them for time."""
    here, spare = 3 - place, place - 2  # of the two axes of the kernel
    pads = node.attributes.get("pads", [0] * 4)
    if kernel.shape[2 + spare] != 1 or pads[spare] or pads[spare + 2]:
        raise node.refusal("has a kernel of two axes", "one over time")
    attributes = {
        name: [values[here], values[here + 2]] if name == "pads" else [values[here]]
        for name, values in node.attributes.items()
        if name in ("dilations", "pads", "strides")
    }
    if "auto_pad" in node.attributes:
        attributes["auto_pad"] = node.attributes["auto_pad"]
    over_time = replace(node, attributes=attributes)
    arguments = [stream.without(place), kernel.squeeze(2 + spare), *bias]
    (found,) = convolution(over_time, arguments)
    return found.inserted(place)


def gather(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Gather``: an embedding, the last timestep, or one layer of a stack."""
    data, indices = arguments
    if isinstance(data, Stream):
        return (gather_parts(node, data, indices),)
    table, axis = data, node.attributes.get("axis", 0)
    if axis or not isinstance(table, np.ndarray) or table.ndim != 2:
        raise node.refusal("looks up computed numbers", "rows of a constant matrix")
    return (embed(node, node.stream(indices), table.astype(np.float64)),)


def reduce_time(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``ReduceMean``, ``ReduceMax`` over time."""
    stream = node.stream(arguments[0])
    axes = axes_of(node.attributes, arguments, node.subject)
    places = range(len(stream.axes)) if axes is None else axes
    function = {"ReduceMean": "mean", "ReduceMax": "max"}[node.kind]
    keep = bool(node.attributes.get("keepdims", 1))
    for place in sorted({stream.place(axis, node.subject) for axis in places}, reverse=True):
        stream = pool(node, stream, place, function, keep)
    return (stream,)


def global_pool(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``GlobalAveragePool``, ``GlobalMaxPool`` of (batch, features, time)."""
    stream = node.stream(arguments[0])
    if len(stream.axes) != 3 or stream.axes[1] != "features":
        raise node.axis_error(stream, "(batch, features, time)")
    function = {"GlobalAveragePool": "mean", "GlobalMaxPool": "max"}[node.kind]
    return (pool(node, stream, 2, function, keep=True),)


def window_pool(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``AveragePool``, ``MaxPool`` of (batch, features, time) whose window is the whole time."""
    stream = node.stream(arguments[0])
    if len(stream.axes) != 3 or stream.axes[1] != "features":
        raise node.axis_error(stream, "(batch, features, time)")
    (taps,), pads = node.attributes["kernel_shape"], node.attributes.get("pads", [0, 0])
    if taps != stream.sizes[2] or any(pads) or node.outputs > 1:
        raise node.refusal(f"pools {taps} of {stream.sizes[2]} timesteps", "all of them")
    function = {"AveragePool": "mean", "MaxPool": "max"}[node.kind]
    return (pool(node, stream, 2, function, keep=True),)


def arg_max_(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    value = arguments[0]
    stream = node.stream(value.stream if isinstance(value, Probabilities) else value)
    if node.attributes.get("select_last_index", 0):
        raise node.refusal("has select_last_index=1", "the first of equals")
    keep = bool(node.attributes.get("keepdims", 1))
    return (arg_max(node, stream, node.attributes.get("axis", 0), keep),)


OPERATIONS: dict[str, Callable[[Node, list[Any]], tuple[Any, ...]]] = {
    "LSTM": recurrent,
    "GRU": recurrent,
    "RNN": recurrent,
    "Gemm": linear,
    "MatMul": linear,
    "Conv": convolution,
    "Gather": gather,
    "ReduceMean": reduce_time,
    "ReduceMax": reduce_time,
    "AveragePool": window_pool,
    "MaxPool": window_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "ArgMax": arg_max_,
    "Attention": attention,
    **ELEMENTWISE,
    **SHAPES,
}
