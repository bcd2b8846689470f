"""Reads ONNX files: protobuf, checked and bounded before anything is made of them."""

from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelFileError, ToolMissingError, UnsupportedError

__all__ = ["array_of", "attributes_of", "import_onnx", "name_of", "read_model"]

MAX_BYTES = 1 << 30
MAX_NODES = 1 << 16
OLDEST_OPSET = 7
DOMAINS = ("", "ai.onnx")


def read_model(path: str | PathLike[str]) -> Any:
    """The checked ``onnx.ModelProto`` of a file; its weights lie in the file itself.

    Raises
    ------
    ModelFileError
        If there is no such file, or it is truncated, altered, too large, or not ONNX.
    UnsupportedError
        For weights outside the file, and operator sets that are too old.
    ToolMissingError
        Without the package ``onnx``.
    """
    onnx = import_onnx()
    subject = f"Model file {fspath(path)}"
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ModelFileError(f"{subject} must have at most {MAX_BYTES:,} bytes, not {size:,}")
        content = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(f"{subject} must be a readable file: {reason}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # the class depends on the protobuf package
        raise ModelFileError(f"{subject} must be a whole ONNX file, which it is not") from error
    count = len(model.graph.node)
    if count > MAX_NODES:
        raise ModelFileError(f"{subject} must have at most {MAX_NODES} nodes, not {count}")
    _refuse_external_data(onnx, model, subject)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise ModelFileError(f"{subject} must be a valid ONNX model: {reason}") from error
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    if not versions or min(versions) < OLDEST_OPSET:
        found = f"has operator set {min(versions)}" if versions else "names no operator set"
        raise UnsupportedError(
            f"{subject} {found}; supported are those of ONNX from {OLDEST_OPSET} on"
        )
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise UnsupportedError(f"{subject} has the sparse tensor {name}; supported are dense ones")
    return model


def import_onnx() -> Any:
    """The package ``onnx``."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ToolMissingError(
            "Package onnx is not installed: pip install 'deltaloom[onnx]' brings it"
        ) from None
    return onnx


def array_of(tensor: Any, subject: str) -> np.ndarray:
    """Values of an ``onnx.TensorProto``; its size is that of the file's bytes, or it is refused."""
    onnx = import_onnx()
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:
        raise ModelFileError(f"{subject} must hold as many values as its shape says") from error


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes by name: numbers, text, lists of them, and tensors as they are."""
    onnx = import_onnx()
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        match value:
            case bytes():
                value = value.decode("utf-8", "replace")
            case [bytes(), *_]:
                value = [text.decode("utf-8", "replace") for text in value]
        found[attribute.name] = value
    return found


def name_of(node: Any) -> str:
    """How sentences call a node: by its name, or its first output if it has none."""
    domain = f"{node.domain}." if node.domain not in DOMAINS else ""
    name = node.name or (node.output[0] if node.output else "")
    return f"Node {name} ({domain}{node.op_type})"


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor of a graph and of the graphs within its nodes."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _refuse_external_data(onnx: Any, model: Any, subject: str) -> None:
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UnsupportedError(
                f"{subject} keeps the tensor {tensor.name} in another file; supported are weights "
                f"in the file itself: onnx.save(onnx.load(path), path) puts them there"
            )
