"""Timesteps of the longest sequences, as callers give them."""

from collections.abc import Iterable, Mapping

from .errors import DeltaloomError
from .wiring import MEMORY

__all__ = ["Steps", "steps_of"]

Steps = int | Mapping[str, int | None] | None
"""Of every input, or by input."""


def steps_of(steps: Steps, inputs: Iterable[str]) -> dict[str, int | None]:
    """By input; ``None`` where they are not known.

    Raises
    ------
    DeltaloomError
        If those of the input are given and those of the memory are not, though there is one.
    """
    if not isinstance(steps, Mapping):
        return dict.fromkeys(inputs, steps)
    found = {name: steps.get(name) for name in inputs}
    if found.get(MEMORY, 1) is None:
        raise DeltaloomError(
            "Memory must be given, or how many timesteps it has: the network takes pairs of "
            "sequences, of its memory and input"
        )
    return found
