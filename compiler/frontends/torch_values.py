"""What a tensor of a traced torch module stands for where it is no stream."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import UnsupportedError
from .stream_attention import Part
from .tensors import Probabilities, Stream

__all__ = [
    "CellState",
    "InitialState",
    "Largest",
    "Nothing",
    "Recurrence",
    "as_stream",
]


@dataclass(frozen=True)
class CellState:
    """An LSTM's final cell state, which no layer gives."""

    path: str


class Recurrence(NamedTuple):
    """What a recurrent module returns; final hidden states are a stack of streams."""

    output: Stream
    state: Any


@dataclass(frozen=True)
class Nothing:
    """A tensor that no layer gives; ``what`` it is, for errors."""

    what: str


class Largest(NamedTuple):
    """What ``torch.max`` over an axis returns."""

    values: Stream | Nothing
    indices: Stream | Nothing


@dataclass(frozen=True)
class InitialState:
    """A tensor of zeros: where a recurrent module starts anyway."""


def as_stream(value: Any, subject: str) -> Stream:
    """The value; raises :class:`UnsupportedError` unless it is one stream."""
    match value:
        case Stream() if "stack" in value.axes:
            reason = "reads the final hidden states of all layers; supported is one layer's, [-1]"
        case Stream():
            return value
        case Recurrence():
            reason = (
                "reads the pair (output, state) of a recurrent module; take its output, [0], first"
            )
        case CellState(path=path):
            reason = (
                f"reads the final cell state of module {path}; supported are its output and its "
                f"final hidden state"
            )
        case Nothing(what=what):
            reason = f"reads {what}, which no layer gives"
        case Probabilities() | Part():
            reason = f"reads {value.text}"
        case tuple():
            reason = "reads the states (h_n, c_n) of an LSTM; supported is the last h_n, [0][-1]"
        case _:
            reason = "reads a tensor that is not computed from the input; supported are layers"
    raise UnsupportedError(f"{subject} {reason}")
