"""A node of an ONNX graph while it is followed."""

from dataclasses import dataclass
from typing import Any

from .stream_context import Context

__all__ = ["Node"]


@dataclass(frozen=True)
class Node(Context):
    """An operator and its attributes.

    Parameters
    ----------
    kind : str
        Operator.
    attributes : dict
        By name.
    outputs : int
        How many it has.
    """

    kind: str
    attributes: dict[str, Any]
    outputs: int
