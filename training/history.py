"""What a layer's forward pass leaves for its backward pass."""

from collections.abc import Iterable

import numpy as np

from ..sim.elementwise import Values

__all__ = ["History"]


class History:
    """A watch of the golden model that keeps the values of some nodes.

    Parameters
    ----------
    wanted : iterable of int
        Positions of the nodes.

    Attributes
    ----------
    values : list of dict
        By timestep and position: integers (batch, size).
    cuts : list of dict
        By timestep and name of a rescale node: where (batch, size) it saturated, if it did.
    """

    def __init__(self, wanted: Iterable[int]):
        self._wanted = tuple(wanted)
        self._cuts: dict[str, np.ndarray] = {}
        self.values: list[Values] = []
        self.cuts: list[dict[str, np.ndarray]] = []

    def cut(self, time: int, name: str, cut: np.ndarray) -> None:
        if cut.any():
            self._cuts[name] = cut

    def step(self, time: int, values: Values) -> None:
        self.values.append({position: values[position] for position in self._wanted})
        self.cuts.append(self._cuts)
        self._cuts = {}
