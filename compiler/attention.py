"""Attention in float: what a vector asks of those that have been, or of a whole sequence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .streams import MAX_STEPS, StreamLayer, is_count, require

__all__ = [
    "ENERGIES",
    "FORMS",
    "SOURCES",
    "Attention",
    "AttentionLayer",
    "attend",
    "operands_of",
    "steps_too_many",
]

FORMS = ("dot", "additive")

SOURCES = ("q", "k", "v")
"""Names of what the sources give, for recipes; ``p`` are the weights."""

ENERGIES = "score.t"
"""Name of the energies, and behind the dot of what they are multiplied with, for recipes."""


@dataclass(frozen=True)
class AttentionLayer(StreamLayer):
    """Weighs the values of several timesteps by how well their keys fit a query.

    Its three sources give queries, keys and values. The weights are the softmax of the scores:
    in the form ``dot`` the scaled products of query and key (Vaswani et al. 2017), in the form
    ``additive`` those of a learned vector of energies with tanh(query + key) (Bahdanau et al.
    2015). It has no matrices: projections are linear layers before and after it.

    Parameters
    ----------
    form : str
        A name of :data:`FORMS`.
    causal : bool
        A query meets the timesteps up to its own; else those of the whole sequence, and its own
        stream may have other timesteps than the keys' (Luong et al. 2015).
    max_steps : int
        Timesteps of the longest sequence of keys: what the hardware has room for.
    """

    form: str
    causal: bool
    max_steps: int

    def check(self) -> None:
        require(
            self.form in FORMS,
            f"Layer {self.name} must have a form of {', '.join(FORMS)}, not {self.form!r}",
        )
        require(
            isinstance(self.causal, bool),
            f"Layer {self.name} must be causal or not, not {self.causal!r}",
        )
        require(
            is_count(self.max_steps, 1, MAX_STEPS),
            f"Layer {self.name} must have max_steps from 1 to {MAX_STEPS}, not {self.max_steps!r}",
        )

    def output_size(self, sizes: Sequence[int]) -> int:
        queries, keys, values = sizes
        require(
            queries == keys,
            f"Layer {self.name} must have queries and keys of equal size, not {queries} and {keys}",
        )
        return values


@dataclass(frozen=True)
class Attention(AttentionLayer):
    """Attention of a float network.

    Parameters
    ----------
    scale : float, optional
        Of the scores, in the form ``dot``. Left out: 1 / sqrt(features of a query).
    energies : numpy.ndarray, optional
        Float64 (features of a query,), in the form ``additive``.
    """

    scale: float | None = None
    energies: np.ndarray | None = None

    def scale_of(self, size: int) -> float:
        """What the scores of queries of a size are multiplied with."""
        if self.form == "additive":
            return 1.0
        return float(size) ** -0.5 if self.scale is None else self.scale

    def check(self) -> None:
        super().check()
        additive = self.form == "additive"
        require(
            (self.energies is not None) == additive and not (additive and self.scale is not None),
            f"Layer {self.name} must have a scale in the form 'dot' and energies in the form "
            f"'additive' alone",
        )
        require(
            self.scale is None or 2.0**-30 <= self.scale <= 2.0**30,
            f"Layer {self.name} must have a scale from 2**-30 to 2**30, not {self.scale!r}",
        )
        if self.energies is not None:
            require(
                self.energies.ndim == 1 and self.energies.size > 0,
                f"Energies of layer {self.name} must have shape (features,), "
                f"not {self.energies.shape}",
            )
            require(
                bool(np.all(np.isfinite(self.energies))),
                f"Energies of layer {self.name} must be finite; they hold NaN or infinity",
            )

    def output_size(self, sizes: Sequence[int]) -> int:
        found = super().output_size(sizes)
        if self.energies is not None:
            require(
                len(self.energies) == sizes[0],
                f"Layer {self.name} must have as many energies as a query has features, "
                f"{sizes[0]}, not {len(self.energies)}",
            )
        return found


def operands_of(layer: Attention) -> list[str]:
    """Names of what a layer multiplies."""
    return [*SOURCES, "p", *(["t"] if layer.form == "additive" else [])]


def attend(
    layer: Attention, queries: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Context (queries, features) of one sequence, from its vectors, each (time, features)."""
    if layer.form == "dot":
        scores = queries @ keys.T * layer.scale_of(queries.shape[1])
    else:
        assert layer.energies is not None
        scores = np.stack([np.tanh(query + keys) @ layer.energies for query in queries])
    if layer.causal:
        scores = np.where(np.tri(*scores.shape) > 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: np.ndarray = weights @ values / weights.sum(axis=1, keepdims=True)
    return found


def steps_too_many(layer: AttentionLayer, steps: int) -> str:
    return f"Layer {layer.name} must get keys of at most {layer.max_steps} timesteps, not {steps}"
