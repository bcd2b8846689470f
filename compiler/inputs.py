"""The inputs of an integer network: what each takes, in the order of the port."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import DeltaloomError
from .fixed import Format

__all__ = ["NetworkInput"]


@dataclass(frozen=True)
class NetworkInput:
    """What sequences of an input have to be.

    Parameters
    ----------
    name : str
        Of the stream.
    format : Format
        Of its elements.
    size : int
        Features.
    entries : int or None
        Where its elements are indices of tables: entries of the smallest.
    min_steps : int
        Timesteps of the shortest sequence that every window finds long enough.
    max_steps : int or None
        Timesteps of the longest sequence that every layer has room for; None: of any length.
    """

    name: str
    format: Format
    size: int
    entries: int | None
    min_steps: int
    max_steps: int | None

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest integer that an element may be."""
        if self.entries is None:
            return self.format.min, self.format.max
        return 0, self.entries - 1

    def check(self, sequences: Sequence[np.ndarray]) -> None:
        """Raise unless integer sequences, each (time, features), are what the input takes."""
        title = self.name.capitalize()
        lengths = [len(sequence) for sequence in sequences]
        if not lengths or not all(lengths):
            raise DeltaloomError(
                f"{title} must hold at least one sequence of at least one timestep"
            )
        if self.max_steps is not None and max(lengths) > self.max_steps:
            raise DeltaloomError(
                f"{title} must hold sequences of at most {self.max_steps} timesteps, which is "
                f"what the network has room for, not of {max(lengths)}"
            )
        if min(lengths) < self.min_steps:
            raise DeltaloomError(
                f"{title} must hold sequences of at least {self.min_steps} timesteps, which is "
                f"what the network's windows need, not of {min(lengths)}"
            )
        for sequence in sequences:
            if sequence.ndim != 2 or sequence.shape[1] != self.size:
                raise DeltaloomError(
                    f"{title} must have shape (time, {self.size}), not {sequence.shape}"
                )
            if not self.format.holds(sequence):
                raise DeltaloomError(f"{title} integers must lie within {self.format}")
