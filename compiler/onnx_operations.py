"""Operators of ONNX on streams, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .axes import AxisOrderError, axes_text
from .errors import UnsupportedError
from .network import ArgMax, Concatenate, Embedding, LastStep, Pool, Reverse, Sum, Window
from .onnx_builder import Builder
from .onnx_constants import axes_of, slices_of
from .onnx_recurrent import read_recurrent
from .onnx_reshape import reshape
from .onnx_values import Filled, Size, Stream, index_of
from .wiring import Length

__all__ = ["OPERATIONS", "Context"]


@dataclass(frozen=True)
class Context:
    """A node that is interpreted.

    Parameters
    ----------
    kind, subject, name : str
        Operator, the node as sentences call it, its name in the file.
    attributes : dict
        By name.
    builder : Builder
        Takes the layers.
    max_steps : int or None
        Timesteps of the longest sequence.
    """

    kind: str
    subject: str
    name: str
    attributes: dict[str, Any]
    builder: Builder
    max_steps: int | None

    @property
    def stem(self) -> str:
        """What the node's layers are called."""
        return self.name or self.kind.lower()

    def fresh(self, suffix: str = "") -> str:
        return self.builder.fresh(self.stem + suffix)

    def stream(self, value: Any) -> Stream:
        """The value, which has to be computed from the input and to have one part."""
        if not isinstance(value, Stream):
            raise self.refusal("applies to a constant", "a tensor that is computed from the input")
        if len(value.parts) > 1:
            raise self.refusal(
                f"reads a tensor with axes {axes_text(value.axes)}",
                "one direction's or one layer's",
            )
        return value

    def refusal(self, does: str, supported: str) -> UnsupportedError:
        return UnsupportedError(f"{self.subject} {does}; supported is {supported}")


def recurrent(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``LSTM``, ``GRU``, ``RNN``: Y, and Y_h without its last step where nobody reads it."""
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    inputs = dict(zip(names, arguments, strict=False))
    stream = context.stream(inputs["X"])
    found = read_recurrent(
        context.kind, context.fresh(), context.attributes, inputs, context.subject
    )
    order = ("batch", "time", "features") if found.batch_first else ("time", "batch", "features")
    axes = stream.axes
    if "batch" not in axes and axes.count("one") == 1:  # a single sequence
        axes = tuple("batch" if axis == "one" else axis for axis in axes)
    if axes != order:
        error = AxisOrderError if set(axes) <= set(order) else UnsupportedError
        raise error(
            f"{context.subject} has layout={int(found.batch_first)} and reads {axes_text(order)}, "
            f"but its input has axes {axes_text(stream.axes)}"
        )
    lengths = inputs.get("sequence_lens")
    time = stream.sizes[order.index("time")]
    if lengths is not None and not (isinstance(lengths, np.ndarray) and np.all(lengths == time)):
        raise context.refusal("has sequence_lens", "sequences that are all of full length")
    outputs, finals = [], []
    (source,) = stream.parts
    for layer, backward in zip(found.layers, found.reversed, strict=True):
        before = reverse(context, layer.name + ".before", source) if backward else source
        name = context.builder.add(replace(layer, sources=(before,)))
        finals.append(last_step(context, name, ".last"))
        outputs.append(reverse(context, layer.name + ".after", name) if backward else name)
    stack = ("stack" if len(outputs) > 1 else "one", len(outputs))
    batch: tuple[int, Size] = (order.index("batch"), stream.sizes[order.index("batch")])
    hidden = found.layers[0].output_size
    h_sizes: tuple[Size, ...]
    if found.batch_first:
        y_axes, y_sizes = (*order[:2], stack[0]), (*stream.sizes[:2], stack[1])
        h_axes, h_sizes = ("batch", stack[0]), (batch[1], stack[1])
    else:
        y_axes, y_sizes = ("time", stack[0], "batch"), (time, stack[1], batch[1])
        h_axes, h_sizes = (stack[0], "batch"), (stack[1], batch[1])
    y = Stream(tuple(outputs), (*y_axes, "features"), (*y_sizes, hidden))
    y_h = Stream(tuple(finals), (*h_axes, "features"), (*h_sizes, hidden))
    return y, y_h


def reverse(context: Context, name: str, source: str) -> str:
    if context.max_steps is None:
        raise UnsupportedError(
            f"{context.subject} walks sequences from their end, whose longest the file does not "
            f"name; supported is a file with a fixed time, or max_steps"
        )
    return context.builder.add(
        Reverse(context.builder.fresh(name), context.max_steps, sources=(source,))
    )


def last_step(context: Context, source: str, suffix: str = "") -> str:
    return context.builder.add(LastStep(context.fresh(suffix), sources=(source,)))


def linear(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``MatMul``, and ``Gemm`` without a transposed input."""
    stream, weights = context.stream(arguments[0]), arguments[1]
    if not isinstance(weights, np.ndarray) or weights.ndim != 2 or weights.dtype.kind != "f":
        raise context.refusal("multiplies by a computed tensor", "a constant matrix")
    if stream.axes[-1] != "features":
        raise AxisOrderError(
            f"{context.subject} reads the {stream.axes[-1]} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported are the features, as the last axis"
        )
    attributes = context.attributes
    if attributes.get("transA", 0):
        raise context.refusal("has transA=1", "transA=0")
    w = weights.astype(np.float64) * attributes.get("alpha", 1.0)
    w = w if attributes.get("transB", 0) else w.T
    bias = np.zeros(len(w))
    if len(arguments) > 2 and arguments[2] is not None:
        bias += _features(context, arguments[2], len(w)) * attributes.get("beta", 1.0)
    name = context.builder.linear(context.stem, stream.parts[0], np.array(w), bias)
    return (_with_features(stream, name, len(w)),)


def convolution(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Conv`` over time: a window and a linear layer."""
    stream, weights = context.stream(arguments[0]), arguments[1]
    if not isinstance(weights, np.ndarray) or weights.ndim != 3 or weights.dtype.kind != "f":
        raise context.refusal(
            "has computed weights or more than one axis", "a constant kernel over time"
        )
    attributes = context.attributes
    outputs, inputs, kernel = weights.shape
    if attributes.get("group", 1) != 1:
        raise context.refusal(f"has group={attributes['group']}", "group=1")
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise context.refusal(f"has auto_pad={attributes['auto_pad']}", "explicit pads")
    (stride,) = attributes.get("strides", [1])
    (dilation,) = attributes.get("dilations", [1])
    left, right = attributes.get("pads", [0, 0])
    plain = (kernel, stride, left, right) == (1, 1, 0, 0)
    if (
        len(stream.axes) != 3
        or stream.axes[1] != "features"
        or (stream.axes[2] != "time" and not (plain and stream.axes[2] == "one"))
    ):
        raise AxisOrderError(
            f"{context.subject} reads a tensor with axes {axes_text(stream.axes)}; supported is "
            f"(batch, features, time)"
        )
    (source,) = stream.parts
    if not plain:
        window = Window(
            context.fresh(".window"), kernel, stride, dilation, (left, right), sources=(source,)
        )
        source = context.builder.add(window)
        time = stream.sizes[2]
        length = Length(((window.lost, stride),))
        after = length.of(time) if isinstance(time, int) else f"{time} of {source}"
        stream = stream.with_axis(2, "time", after)
    w = weights.astype(np.float64).transpose(0, 2, 1).reshape(outputs, kernel * inputs)
    bias = np.zeros(outputs)
    if len(arguments) > 2 and arguments[2] is not None:
        bias += _features(context, arguments[2], outputs)
    name = context.builder.linear(context.stem, source, w, bias)
    return (_with_features(stream, name, outputs),)


def add(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Add``: a bias, or a sum of two streams."""
    first, second = arguments
    if not isinstance(first, Stream):
        first, second = second, first
    stream = context.stream(first)
    if isinstance(second, np.ndarray | Filled):
        if (
            isinstance(second, np.ndarray)
            and second.size > 1
            and (stream.axes[-1] != "features" or second.shape[-1] != second.size)
        ):
            raise context.refusal("adds a constant that differs along other axes", "a bias")
        size = stream.size("features")
        bias = _features(context, second, size if isinstance(size, int) else 1)
        name = context.builder.with_bias(stream.parts[0], bias, context.subject)
        return (replace(stream, parts=(name,)),)
    other = context.stream(second)
    if (stream.axes, stream.sizes) != (other.axes, other.sizes):
        raise context.refusal(
            f"adds tensors with axes {axes_text(stream.axes)} of lengths {stream.sizes} and "
            f"{axes_text(other.axes)} of lengths {other.sizes}",
            "a sum of equal ones",
        )
    sources = (*stream.parts, *other.parts)
    name = context.builder.add(Sum(context.fresh(), sources=sources))
    return (replace(stream, parts=(name,)),)


def activation(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    (stream,) = arguments
    function = context.kind.lower()
    parts = tuple(
        context.builder.with_activation(part, function, context.subject) for part in stream.parts
    )
    return (replace(stream, parts=parts),)


def gather(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Gather``: an embedding, the last timestep, or one layer of a stack."""
    data, indices = arguments
    axis = context.attributes.get("axis", 0)
    if not isinstance(data, Stream):
        return (_embedding(context, data, indices, axis),)
    place = data.place(axis, context.subject)
    chosen = index_of(indices, "indices", context.subject)
    return (_take(context, data, place, chosen, keep=indices.ndim > 0),)


def slice_(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Slice``: whole axes, the last timestep, time reversed, or layers of a stack."""
    stream = arguments[0]
    if not isinstance(stream, Stream):
        raise context.refusal("slices a constant by a computed range", "a constant range")
    for axis, item in slices_of(context.attributes, arguments, context.subject).items():
        place = stream.place(axis, context.subject)
        size = stream.sizes[place]
        if item == slice(-1, None, -1) and stream.axes[place] == "time":
            name = reverse(context, context.stem, context.stream(stream).parts[0])
            stream = replace(stream, parts=(name,))
        elif isinstance(size, int):
            stream = _take(context, stream, place, list(range(size))[item], keep=True)
        elif item == slice(-1, None, 1):
            stream = _take(context, stream, place, [-1], keep=True)
        elif item != slice(None, None, 1):
            raise context.refusal(f"takes a part of the {stream.axes[place]} axis", "its last one")
    return (stream,)


def concat(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Concat``: features side by side, or layers on a stack."""
    if not all(isinstance(argument, Stream) for argument in arguments):
        raise context.refusal("joins constants and computed tensors", "computed ones alone")
    first = arguments[0]
    if len(arguments) == 1:
        return (first,)
    place = first.place(context.attributes["axis"], context.subject)
    bare = {argument.without(place).axes for argument in arguments}
    kinds = {argument.axes[place] for argument in arguments}
    parts = tuple(part for argument in arguments for part in argument.parts)
    if len(bare) > 1 or len({argument.without(place).sizes for argument in arguments}) > 1:
        raise context.refusal("joins tensors whose other axes differ", "equal ones")
    if kinds == {"features"} and len(parts) == len(arguments):
        sizes = [argument.sizes[place] for argument in arguments]
        total = sum(size for size in sizes if isinstance(size, int))
        name = context.builder.add(Concatenate(context.fresh(), sources=parts))
        return (replace(_with_features(first, name, total), parts=(name,)),)
    if kinds <= {"one", "stack"} and "stack" not in first.without(place).axes:
        return (replace(first.with_axis(place, "stack", len(parts)), parts=parts),)
    raise AxisOrderError(
        f"{context.subject} joins along the {first.axes[place]} axis; supported are features"
    )


def reduce_time(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``ReduceMean``, ``ReduceMax`` over time."""
    stream = context.stream(arguments[0])
    axes = axes_of(context.attributes, arguments, context.subject)
    places = range(len(stream.axes)) if axes is None else axes
    chosen = sorted({stream.place(axis, context.subject) for axis in places}, reverse=True)
    for place in chosen:
        if stream.axes[place] == "time":
            function = {"ReduceMean": "mean", "ReduceMax": "max"}[context.kind]
            pool = Pool(context.fresh(), function, sources=stream.parts)
            stream = replace(stream, parts=(context.builder.add(pool),))
        elif stream.axes[place] != "one":
            raise AxisOrderError(
                f"{context.subject} reduces the {stream.axes[place]} axis; supported is time"
            )
        keep = context.attributes.get("keepdims", 1)
        stream = stream.with_axis(place, "one", 1) if keep else stream.without(place)
    return (stream,)


def arg_max(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    stream = context.stream(arguments[0])
    place = stream.place(context.attributes.get("axis", 0), context.subject)
    if stream.axes[place] != "features":
        raise AxisOrderError(
            f"{context.subject} searches the {stream.axes[place]} axis; supported are features"
        )
    if context.attributes.get("select_last_index", 0):
        raise context.refusal("has select_last_index=1", "the first of equals")
    name = context.builder.add(ArgMax(context.fresh(), sources=stream.parts))
    keep = context.attributes.get("keepdims", 1)
    stream = stream.with_axis(place, "one", 1) if keep else stream.without(place)
    return (replace(stream, parts=(name,)),)


def transpose(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    (stream,) = arguments
    order = context.attributes.get("perm", range(len(stream.axes))[::-1])
    return (stream.permuted(list(order), context.subject),)


def squeeze(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    axes = axes_of(context.attributes, arguments, context.subject)
    return (arguments[0].squeezed(axes, context.subject),)


def unsqueeze(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    stream = arguments[0]
    axes = axes_of(context.attributes, arguments, context.subject) or []
    rank = len(stream.axes) + len(axes)
    for place in sorted(axis % rank for axis in axes):
        stream = stream.inserted(place)
    return (stream,)


def reshape_(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    stream, shape = arguments
    if not isinstance(stream, Stream) or not isinstance(shape, np.ndarray):
        raise context.refusal("has a computed shape", "one that follows from its input's")
    zero = bool(context.attributes.get("allowzero", 0))
    stream = reshape(stream, shape.ravel().tolist(), zero, context.subject)
    if "stack features" in stream.axes:
        size = stream.size("stack features")
        name = context.builder.add(Concatenate(context.fresh(), sources=stream.parts))
        place = stream.axes.index("stack features")
        stream = replace(stream.with_axis(place, "features", size), parts=(name,))
    return (stream,)


def shape_of(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    bounds = slice(context.attributes.get("start", 0), context.attributes.get("end"))
    sizes = arguments[0].sizes[bounds]
    kind = np.int64 if all(isinstance(size, int) for size in sizes) else object
    return (np.array(sizes, dtype=kind),)


def cast(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    """``Cast`` to another float type, or of indices to another integer."""
    (stream,) = arguments
    kind = context.attributes["to"]
    if kind not in ((1, 11) if "features" in stream.axes else (1, 6, 7, 11)):
        raise context.refusal(f"casts to the type numbered {kind}", "float or double")
    return (stream,)


def identity(context: Context, arguments: list[Any]) -> tuple[Any, ...]:
    if context.kind == "Dropout" and len(arguments) > 2:
        training = arguments[2]
        if training is not None and not (isinstance(training, np.ndarray) and not training.any()):
            raise context.refusal("drops at inference too", "training_mode=False")
    return (arguments[0],)


def _embedding(context: Context, table: Any, indices: Any, axis: int) -> Stream:
    stream = context.stream(indices)
    if "features" in stream.axes or axis or not isinstance(table, np.ndarray) or table.ndim != 2:
        raise context.refusal(
            "looks up computed numbers", "rows of a constant matrix, by indices without features"
        )
    name = context.builder.add(
        Embedding(context.fresh(), table.astype(np.float64), sources=stream.parts)
    )
    axes, sizes = (*stream.axes, "features"), (*stream.sizes, table.shape[1])
    return Stream((name,), axes, sizes)


def _take(context: Context, stream: Stream, place: int, indices: list[int], keep: bool) -> Stream:
    """Some elements of an axis: all of them, the last timestep, or layers of a stack."""
    axis, size = stream.axes[place], stream.sizes[place]
    if isinstance(size, int) and indices == list(range(size)) and keep:
        return stream
    if axis == "time" and indices in ([-1], [size - 1] if isinstance(size, int) else [-1]):
        names = tuple(last_step(context, part) for part in stream.parts)
        stream = replace(stream, parts=names).with_axis(place, "one", 1)
    elif axis in ("stack", "one"):
        stream = stream.picked(place, indices, context.subject)
    else:
        error = UnsupportedError if axis == "time" else AxisOrderError
        raise error(
            f"{context.subject} takes a part of the {axis} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported is the last timestep"
        )
    return stream if keep else stream.without(place)


def _with_features(stream: Stream, name: str, size: int) -> Stream:
    place = stream.axes.index("features")
    return replace(stream.with_axis(place, "features", size), parts=(name,))


def _features(context: Context, value: Any, size: int) -> np.ndarray:
    """A constant for each feature."""
    if isinstance(value, Filled):
        return np.full(size, value.value)
    if not isinstance(value, np.ndarray) or value.size not in (1, size):
        raise context.refusal("has a computed bias", f"a constant of {size} numbers")
    return np.broadcast_to(value.astype(np.float64).ravel(), (size,))


OPERATIONS: dict[str, Callable[[Context, list[Any]], tuple[Any, ...]]] = {
    "LSTM": recurrent,
    "GRU": recurrent,
    "RNN": recurrent,
    "Gemm": linear,
    "MatMul": linear,
    "Conv": convolution,
    "Add": add,
    "Relu": activation,
    "Sigmoid": activation,
    "Tanh": activation,
    "Gather": gather,
    "Slice": slice_,
    "Concat": concat,
    "ReduceMean": reduce_time,
    "ReduceMax": reduce_time,
    "ArgMax": arg_max,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Reshape": reshape_,
    "Shape": shape_of,
    "Cast": cast,
    "Identity": identity,
    "Dropout": identity,
}
