"""From ONNX files to networks: the graph is followed with streams in place of tensors."""

from os import PathLike
from typing import Any

from .axes import BATCH_FIRST, TIME_FIRST, AxisOrderError
from .errors import UnsupportedError
from .network import Network
from .onnx_file import array_of, read_model
from .onnx_interpreter import follow
from .tensors import Size

__all__ = ["from_onnx"]

FLOATS, INTEGERS = (1, 11), (6, 7)  # float, double; int32, int64


def from_onnx(
    path: str | PathLike[str], output: str | None = None, max_steps: int | None = None
) -> Network:
    """The network that an ONNX file computes.

    The network's data are (batch, time, features) for every file: of one that works on
    (time, batch, features), or convolves over (batch, features, time), the same sequences go in
    and come out; indices of an embedding, (batch, time) in the file, are (batch, time, 1). Layers
    are called as the file's nodes are, with ``.`` for ``/``. Nothing of the file is unpickled or
    run.

    Parameters
    ----------
    path : path
        Weights included.
    output : str, optional
        Name of the graph's output; may be left out where there is one.
    max_steps : int, optional
        Timesteps of the longest sequence. Layers that walk a sequence backwards need it, unless
        the file itself fixes the time.

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
    nodes, leaves = _needed(graph, output)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name in leaves - set(tensors)]
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise UnsupportedError(
            f"Output {output} depends on the inputs {names}; supported is one, with initial "
            f"states of zero as constants"
        )
    constants: Any = {
        name: array_of(tensor, f"Tensor {name}")
        for name, tensor in tensors.items()
        if name in leaves
    }
    first_error = None
    for axes in _orders(inputs[0]):
        try:
            sizes = _sizes(inputs[0], axes)
            network = follow(nodes, constants, (inputs[0].name, axes, sizes), output, max_steps)
            network.check()
            return network
        except AxisOrderError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _choose_output(graph: Any, output: str | None) -> str:
    names = [entry.name for entry in graph.output]
    if output is None and len(names) == 1:
        return str(names[0])
    if output in names:
        return str(output)
    given = f"Output must be one of {', '.join(names)}"
    raise UnsupportedError(
        f"{given}, not {output!r}"
        if output
        else f"{given}, of which one is supported: name it, from_onnx(path, output={names[0]!r})"
    )


def _needed(graph: Any, output: str) -> tuple[list[Any], set[str]]:
    """The nodes that an output needs, in order, and the names that no node gives."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
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


def _sizes(entry: Any, axes: tuple[str, ...]) -> tuple[Size, ...]:
    """Lengths of the input's axes; open ones are called as the axis is."""
    dimensions = entry.type.tensor_type.shape.dim
    return tuple(
        dimension.dim_value if dimension.dim_value > 0 else axis
        for dimension, axis in zip(dimensions, axes, strict=True)
    )
