"""The model file: one safetensors file whose metadata holds the graph as JSON.

Files are untrusted. Sizes are checked before memory is taken, nothing is ever unpickled, and what
is read must keep every rule of :mod:`~deltaloom.compiler.checks.network_checks` and be exactly what
:func:`save` would write for it.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO

import numpy as np

from .attention_structure import energies_name
from .checks.network_checks import check_network
from .errors import ModelFileError
from .fixed import width_for
from .integer import IntegerLayer
from .integer_attention import IntegerAttention
from .integer_network import IntegerNetwork
from .packing import NATIVE, pack, packed_bytes, unpack
from .plain_values import integer, mapping, record, sequence
from .rebuild import rebuild
from .structure import Tensors, describe, encoding_of, paths_of, tensors_of
from .written_aside import written_aside

__all__ = ["ModelBytes", "load", "model_bytes", "save"]

VERSION = 2
KEY = "deltaloom"
MAX_HEADER = 1 << 24
NAMES = {"I8": NATIVE[8], "I16": NATIVE[16], "I32": NATIVE[32], "I64": NATIVE[64]}
PACKED = "U8"


@dataclass(frozen=True)
class ModelBytes:
    """Bytes that a model file spends on numbers, and what the same parameters take as float32.

    Tables that several nodes share count once.
    """

    weights: int
    biases: int
    tables: int
    float32: int

    @property
    def total(self) -> int:
        return self.weights + self.biases + self.tables


def save(network: IntegerNetwork, path: str | PathLike[str]) -> None:
    """Write a model file; the same network gives the same bytes. It appears whole or not at all."""
    data = encode(network)
    with written_aside(path, "Model file") as aside:
        aside.write_bytes(data)


def load(path: str | PathLike[str]) -> IntegerNetwork:
    """Read a model file.

    Raises
    ------
    ModelFileError
        If it is not one, is truncated or altered, or breaks a rule.
    """
    try:
        with open(path, "rb") as file:
            return decode(file)
    except OSError as error:
        raise ModelFileError(
            f"Model file {path} must be a readable file: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "its header is nested too deeply"
        raise ModelFileError(
            f"Model file {path} must be a whole and unaltered Deltaloom model: {reason}"
        ) from error


def model_bytes(network: IntegerNetwork) -> ModelBytes:
    """Bytes of weights, biases and tables as :func:`save` stores them."""
    tensors = tensors_of(network)
    bits = tensor_bits(network, tensors)
    sizes = {"weights": 0, "biases": 0, "tables": 0}
    parameters = 0
    energies = {energies_name(index) for index in range(len(network.layers))}
    for name, values in tensors.items():
        table = name.startswith("table.")
        weights = values.ndim == 2 or name in energies
        kind = "tables" if table else "weights" if weights else "biases"
        sizes[kind] += packed_bytes(values.size, bits[name])
        parameters += 0 if table else values.size
    return ModelBytes(**sizes, float32=4 * parameters)


def tensor_bits(network: IntegerNetwork, tensors: Tensors) -> dict[str, int]:
    """Bits in which each tensor is stored: a weight's own, else as many as its values need."""
    bits = {
        name: width_for(int(values.min(initial=0)), int(values.max(initial=0)))
        for name, values in tensors.items()
    }
    for index, layer in enumerate(network.layers):
        if isinstance(layer, IntegerLayer):
            for path, key in paths_of(layer.graph.nodes):
                bits[f"layer.{index}.{key}"] = encoding_of(path).bits
        if isinstance(layer, IntegerAttention) and layer.energy is not None:
            bits[energies_name(index)] = layer.energy.width
    return bits


def encode(network: IntegerNetwork) -> bytes:
    """The bytes of a model file."""
    tensors = tensors_of(network)
    bits = tensor_bits(network, tensors)
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    end = 0
    for name in sorted(tensors):
        stored = store(tensors[name], bits[name])
        parts.append(stored.tobytes())
        start, end = end, end + stored.nbytes
        dtype = next((known for known, t in NAMES.items() if t == stored.dtype), PACKED)
        header[name] = {
            "dtype": dtype,
            "shape": list(stored.shape),
            "data_offsets": [start, end],
        }
    model = {
        "version": VERSION,
        "model": describe(network),
        "tensors": {
            name: {"bits": bits[name], "shape": list(values.shape)}
            for name, values in tensors.items()
        },
    }
    model["checksum"] = checksum(model, parts)
    header["__metadata__"] = {KEY: canonical(model)}
    text = canonical(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def store(values: np.ndarray, bits: int) -> np.ndarray:
    return values.astype(NATIVE[bits]) if bits in NATIVE else pack(values, bits)


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def checksum(model: dict[str, Any], parts: Iterable[bytes]) -> str:
    """SHA-256 over the canonical JSON without the checksum, and the tensors' bytes by name."""
    digest = hashlib.sha256(canonical(model).encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def decode(file: BinaryIO) -> IntegerNetwork:
    """The network of an open file; ``ValueError`` with a reason if it is none."""
    header, size = read_header(file)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise ValueError("it is a safetensors file without one")
    offsets = check_offsets(header, size)
    model = mapping(parse(metadata[KEY]), "Metadata")
    if model.get("version") != VERSION:
        raise ValueError(f"its version is {model.get('version')!r}, where {VERSION} is supported")
    model = record(model, "Metadata", {"version", "model", "tensors", "checksum"})
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it ends too early")
    declared = model.pop("checksum")
    if declared != checksum(model, [data]):
        raise ValueError("its checksum differs from its content")
    network = rebuild(model["model"], restore(header, offsets, model["tensors"], data))
    check_network(network)
    file.seek(0)
    if encode(network) != file.read():
        raise ValueError("its header is not as it was written")
    return network


def parse(text: str | bytes) -> object:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise ValueError("its header is not JSON") from error


def read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes follow it; the file is left at the first of them."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(9)
    if start[8:9] != b"{":
        raise ValueError(foreign(start))
    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header takes {length} bytes, more than {MAX_HEADER}")
    if length > size - 8:
        raise ValueError("it ends within its header")
    return mapping(parse(b"{" + file.read(length - 1)), "Header"), size - 8 - length


def foreign(start: bytes) -> str:
    """Why a file with these first bytes is no safetensors file."""
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "it is a pickle, which is never loaded because it can run code"
    if start[:4] == b"PK\x03\x04":
        return "it is a zip archive, as torch.save writes it; its pickle is never loaded"
    if not start:
        return "it is empty"
    return "it is no safetensors file"


def check_offsets(header: dict[str, Any], size: int) -> dict[str, tuple[int, int]]:
    """Where each tensor lies: one after the other, by name, as long as its shape says."""
    found: dict[str, tuple[int, int]] = {}
    end = 0
    for name in sorted(header):
        entry = record(header[name], "Tensor", {"dtype", "shape", "data_offsets"})
        shape = [integer(n, "Tensor shape") for n in sequence(entry["shape"], "Tensor shape")]
        places = [integer(n, "Tensor place") for n in sequence(entry["data_offsets"], "Place")]
        dtype = NAMES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
        if dtype is None and entry["dtype"] != PACKED:
            raise ValueError("Tensor must have an integer type")
        if not 1 <= len(shape) <= 2 or len(places) != 2 or places[0] != end:
            raise ValueError("Tensors must follow one another")
        width = 1 if dtype is None else dtype.itemsize
        end += shape[0] * (shape[1] if len(shape) == 2 else 1) * width
        if places[1] != end:
            raise ValueError("Tensor must be as long as its shape says")
        found[name] = (places[0], end)
    if end != size:
        raise ValueError(f"its tensors take {end} bytes where the file has {size}")
    return found


def restore(
    header: dict[str, Any], offsets: dict[str, tuple[int, int]], tensors: object, data: bytes
) -> Tensors:
    """The arrays of a file; int64."""
    found: Tensors = {}
    for name, entry in mapping(tensors, "Tensors").items():
        values = record(entry, "Tensor", {"bits", "shape"})
        bits = integer(values["bits"], "Tensor bits")
        shape = tuple(integer(n, "Tensor shape") for n in sequence(values["shape"], "Shape"))
        if name not in offsets or not 1 <= bits <= 64 or not 1 <= len(shape) <= 2:
            raise ValueError("Tensors must be those of the file, in 1 to 64 bits")
        start, end = offsets[name]
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        if packed_bytes(count, bits) != end - start:
            raise ValueError("Tensor must have as many bytes as its bits say")
        if bits in NATIVE:
            stored = np.frombuffer(data[start:end], dtype=NATIVE[bits])
            found[name] = stored.astype(np.int64).reshape(shape)
        else:
            stored = np.frombuffer(data[start:end], dtype=np.uint8)
            found[name] = unpack(stored, bits, shape)
    if set(found) != set(header):
        raise ValueError("Tensors must all be described")
    return found
