"""What an operation on streams is followed with, in every front end."""

from dataclasses import dataclass
from typing import Any

from ..axes import AxisOrderError, axes_text
from ..errors import UnsupportedError
from .builder import Builder
from .tensors import Probabilities, Stream

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """An operation of a model's graph that is followed.

    Parameters
    ----------
    subject : str
        The operation as sentences call it.
    stem : str
        What its layers are called.
    builder : Builder
        Takes the layers.
    """

    subject: str
    stem: str
    builder: Builder

    def fresh(self, suffix: str = "") -> str:
        return self.builder.fresh(self.stem + suffix)

    def stream(self, value: Any) -> Stream:
        """The value, which has to be computed from the input and to have one part."""
        if isinstance(value, Probabilities):
            raise UnsupportedError(f"{self.subject} reads {value.text}")
        if not isinstance(value, Stream):
            raise self.refusal("applies to a constant", "a tensor that is computed from the input")
        if len(value.parts) > 1:
            raise self.refusal(
                f"reads a tensor with axes {axes_text(value.axes)}",
                "one direction's or one layer's",
            )
        return value

    def axis_error(self, stream: Stream, supported: str) -> AxisOrderError:
        return AxisOrderError(
            f"{self.subject} reads a tensor with axes {axes_text(stream.axes)}; supported is "
            f"{supported}"
        )

    def refusal(self, does: str, supported: str) -> UnsupportedError:
        return UnsupportedError(f"{self.subject} {does}; supported is {supported}")
