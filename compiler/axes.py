"""Orders of a tensor's axes, for every front end."""

from .errors import UnsupportedError

__all__ = ["BATCH_FIRST", "FRAME", "PLANES", "TIME_FIRST", "AxisOrderError", "axes_text"]

BATCH_FIRST = ("batch", "time", "features")
TIME_FIRST = ("time", "batch", "features")

FRAME = ("channels", "rows", "columns")
"""Of a frame in torch. The stream's vector has the pixels row after row, channels together."""

PLANES = "planes"
"""A frame's elements as one axis, a channel after the other, as torch flattens it."""


class AxisOrderError(UnsupportedError):
    """A module reads its input's axes in another order than the one that was assumed."""


def axes_text(axes: tuple[str, ...]) -> str:
    """Axes as a sentence shows them."""
    return f"({', '.join(axes)})"
