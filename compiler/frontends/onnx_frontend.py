"""From ONNX files to networks: the graph is followed with streams in place of tensors."""

from collections.abc import Mapping
from itertools import product
from os import PathLike
from typing import Any

from ..axes import BATCH_FIRST, TIME_FIRST, AxisOrderError
from ..errors import UnsupportedError
from ..network import Network
from ..steps import Steps
from ..wiring import INPUT, MEMORY
from .onnx_file import array_of, import_onnx, read_model
from .onnx_interpreter import follow
from .onnx_values import Given
from .pair_roles import check_roles
from .tensors import Size, time_of

__all__ = ["from_onnx"]

FLOATS, INTEGERS = (1, 11), (6, 7)  # float, double; int32, int64


def from_onnx(
    path: str | PathLike[str],
    output: str | None = None,
    max_steps: Steps = None,
    *,
    input: str | None = None,
) -> Network:
    """The network that an ONNX file computes.

    The network's data are (batch, time, features) for every file: of one that works on
    (time, batch, features), or convolves over (batch, features, time), the same sequences go in
    and come out; indices of an embedding, (batch, time) in the file, are (batch, time, 1). Layers
    are called as the file's nodes are, with ``.`` for ``/``. Nothing of the file is unpickled or
    run. Of two inputs, the one that the output follows is the network's, and the other one, of
    which attention has its keys and values, its memory, in whatever order the file has them.
    Sequences start from zeros; inputs of the file that are initial states come with the
    sequences, as ``states`` of the call.

    Parameters
    ----------
    path : path
        Weights included.
    output : str, optional
        Name of the tensor that the network ends with. Left out: the graph's output, if it has one.
    max_steps : int or mapping of str to int, optional
        Timesteps of the longest sequence, or by name those of ``input`` and ``memory``. Layers
        that walk a sequence backwards, or attend to it, need it, unless the file itself fixes the
        time.
    input : str, optional
        Name of the tensor that the network begins with, anywhere in the graph: what computes it is
        left out. Left out: the graph's input, if it has one.

    Raises
    ------
    ModelFileError
        If there is no such file, or it is truncated, altered, or not ONNX.
    UnsupportedError
        For what cannot be taken, by node and operator.
    """
    model = read_model(path)
    graph = model.graph
    output = _choose_output(graph, output)
    nodes, leaves = _needed(graph, output, input)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if input is not None and input not in leaves - set(tensors):
        raise UnsupportedError(f"Output {output} must depend on input {input}, which it does not")
    open_ends = [entry for entry in graph.input if entry.name in leaves - set(tensors)]
    starts = _starts(nodes, {entry.name for entry in open_ends})
    others = [entry for entry in open_ends if entry.name not in starts and entry.name != input]
    entries = others if input is None else [_entry(model, input), *others]
    if not 1 <= len(entries) <= 2:
        names = ", ".join(entry.name for entry in others) or "none"
        raise UnsupportedError(
            f"Output {output} depends on the inputs {names}"
            + (f" beside {input}" if input else "")
            + "; supported are one, a memory that it attends to, and initial states of recurrent "
            "operators"
        )
    constants: Any = {
        start.name: Given(tuple(d.dim_value for d in start.type.tensor_type.shape.dim))
        for start in open_ends
        if start.name in starts
    } | {
        name: array_of(tensor, f"Tensor {name}")
        for name, tensor in tensors.items()
        if name in leaves
    }
    inputs = dict(zip((INPUT, MEMORY), entries, strict=False))
    network, root = _follow(nodes, constants, inputs, output, max_steps)
    if root != INPUT:  # the output follows what comes second
        inputs = dict(zip((MEMORY, INPUT), entries, strict=True))
        network, _ = _follow(nodes, constants, inputs, output, max_steps)
    called = {root: str(entry.name) for root, entry in inputs.items()}
    check_roles(f"Output {output}", network, called)
    network.check()
    return network


def _follow(
    nodes: list[Any],
    constants: dict[str, Any],
    inputs: Mapping[str, Any],
    output: str,
    max_steps: Steps,
) -> tuple[Network, str]:
    """The network, with the first orders of axes that it can be followed with."""
    first_error = None
    for orders in product(*map(_orders, inputs.values())):
        sources = {
            root: (entry.name, axes, _sizes(root, entry, axes))
            for (root, entry), axes in zip(inputs.items(), orders, strict=True)
        }
        try:
            return follow(nodes, constants, sources, output, max_steps)
        except AxisOrderError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _starts(nodes: list[Any], names: set[str]) -> set[str]:
    """Those of the names that only stand where recurrent operators have their initial states."""
    found = set(names)
    for node in nodes:
        states = slice(5, 7) if node.op_type in ("LSTM", "GRU", "RNN") else slice(0)
        found -= set(node.input) - set(node.input[states])
    return found


def _entry(model: Any, name: str) -> Any:
    """Type and shape of a tensor within the graph."""
    try:
        graph = import_onnx().shape_inference.infer_shapes(model).graph
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(f"Shapes of the tensors cannot be inferred: {reason}") from error
    for entry in (*graph.input, *graph.value_info):
        if entry.name == name and entry.type.tensor_type.HasField("shape"):
            return entry
    raise UnsupportedError(f"Input {name} must have a shape that can be inferred")


def _choose_output(graph: Any, output: str | None) -> str:
    names = [entry.name for entry in graph.output]
    if output is None and len(names) == 1:
        return str(names[0])
    if output in names or any(output in node.output for node in graph.node):
        return str(output)
    given = f"Output must be one of {', '.join(names)}"
    raise UnsupportedError(
        f"{given}, not {output!r}"
        if output
        else f"{given}, of which one is supported: name it, from_onnx(path, output={names[0]!r})"
    )


def _needed(graph: Any, output: str, input: str | None) -> tuple[list[Any], set[str]]:
    """The nodes between both, in order, and the names that none of them gives."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output) - {input}:
            nodes.append(node)
            needed.update(node.input)
    given = {name for node in nodes for name in node.output}
    return nodes[::-1], needed - given - {""}


def _orders(entry: Any) -> list[tuple[str, ...]]:
    """Orders of axes that an input may have, the usual one first."""
    tensor = entry.type.tensor_type
    rank = len(tensor.shape.dim)
    by_rank: dict[int, list[tuple[str, ...]]] = {}
    if tensor.elem_type in FLOATS:
        by_rank[3] = [BATCH_FIRST, TIME_FIRST, ("batch", "features", "time")]
        by_rank[2] = [("time", "features")]
    elif tensor.elem_type in INTEGERS:
        by_rank[2] = [BATCH_FIRST[:2], TIME_FIRST[:2]]
        by_rank[1] = [("time",)]
    orders = by_rank.get(rank, [])
    if not orders:
        raise UnsupportedError(
            f"Input {entry.name} has {rank} axes and the type numbered {tensor.elem_type}; "
            f"supported are floats (batch, time, features) and indices (batch, time), of one "
            f"sequence or of several"
        )
    return orders


def _sizes(root: str, entry: Any, axes: tuple[str, ...]) -> tuple[Size, ...]:
    """Lengths of an input's axes; open ones are called as the axis is."""
    dimensions = entry.type.tensor_type.shape.dim
    return tuple(
        dimension.dim_value
        if dimension.dim_value > 0
        else time_of(root)
        if axis == "time"
        else axis
        for dimension, axis in zip(dimensions, axes, strict=True)
    )
