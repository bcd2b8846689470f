"""Constants of an ONNX graph, beside its streams."""

from dataclasses import dataclass

import numpy as np

from ..errors import UnsupportedError
from .tensors import Stream

__all__ = ["Filled", "Given", "Value", "index_of"]


@dataclass(frozen=True)
class Filled:
    """A constant tensor with the same value everywhere, of whatever shape."""

    value: float


@dataclass(frozen=True)
class Given:
    """An input of the graph that recurrent operators start from.

    Sequences start from zeros, or from the states that come with them.

    Parameters
    ----------
    sizes : tuple of int
        Lengths of its axes, 0 where the file leaves them open.
    """

    sizes: tuple[int, ...]


Value = np.ndarray | Filled | Given | Stream
"""Constants may hold names among their numbers where they are lengths that the file leaves open."""


def index_of(value: object, what: str, subject: str) -> list[int]:
    """A constant of whole numbers, flat."""
    if not isinstance(value, np.ndarray) or not all(
        isinstance(number, int) for number in value.ravel().tolist()
    ):
        raise UnsupportedError(f"{subject} has computed {what}; supported are constants")
    return [int(number) for number in value.ravel().tolist()]
