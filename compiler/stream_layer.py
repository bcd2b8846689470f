"""What all stream layers have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .fixed import Format

__all__ = ["MAX_STEPS", "MAX_WIDTH", "StreamLayer", "is_count", "require"]

MAX_STEPS = 1 << 16
"""The most timesteps of a sequence that a layer may have to hold or to count."""

MAX_WIDTH = 32
"""Bits of the widest sum that leaves a layer, and how far apart the scales of its terms may be."""


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def is_count(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


@dataclass(frozen=True)
class StreamLayer:
    """A layer that is no cell.

    Parameters
    ----------
    name : str
        Unique within the network.
    sources : tuple of str
        Layers whose outputs it takes; empty: the layer before it. ``"input"`` is the network's
        input.
    """

    name: str
    sources: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def once(self) -> bool:
        """Whether it gives one vector a sequence, whatever the sequence's length."""
        return False

    def check(self) -> None:
        """Raise ``ValueError`` unless its own parameters are usable."""

    def output_size(self, sizes: Sequence[int]) -> int:
        """Features of its output, given those of its sources."""
        return sizes[0]

    def output_format(self, formats: Sequence[Format]) -> Format:
        """Format of its output in integers, given those of its sources."""
        return formats[0]
