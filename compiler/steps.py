"""Timesteps of the longest sequences, as callers give them."""

from collections.abc import Iterable, Mapping

__all__ = ["Steps", "steps_of"]

Steps = int | Mapping[str, int | None] | None
"""Of every input, or by input."""


def steps_of(steps: Steps, inputs: Iterable[str]) -> dict[str, int | None]:
    """By input; ``None`` where they are not known."""
    given = steps if isinstance(steps, Mapping) else dict.fromkeys(inputs, steps)
    return {name: given.get(name) for name in inputs}
