"""Orders of a tensor's axes, for every front end."""

from .errors import UnsupportedError

__all__ = ["BATCH_FIRST", "TIME_FIRST", "AxisOrderError", "axes_text"]

BATCH_FIRST = ("batch", "time", "features")
TIME_FIRST = ("time", "batch", "features")


class AxisOrderError(UnsupportedError):
    """A module reads its input's axes in another order than the one that was assumed."""


def axes_text(axes: tuple[str, ...]) -> str:
    """Axes as a sentence shows them."""
    return f"({', '.join(axes)})"
