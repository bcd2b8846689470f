"""Constants of an ONNX graph, beside its streams."""

from dataclasses import dataclass

import numpy as np

from .errors import UnsupportedError
from .tensors import Stream

__all__ = ["Filled", "Value", "index_of"]


@dataclass(frozen=True)
class Filled:
    """A constant tensor with the same value everywhere, of whatever shape."""

    value: float


Value = np.ndarray | Filled | Stream
"""Constants may hold names among their numbers where they are lengths that the file leaves open."""


def index_of(value: object, what: str, subject: str) -> list[int]:
    """A constant of whole numbers, flat."""
    if not isinstance(value, np.ndarray) or not all(
        isinstance(number, int) for number in value.ravel().tolist()
    ):
        raise UnsupportedError(f"{subject} has computed {what}; supported are constants")
    return [int(number) for number in value.ravel().tolist()]
