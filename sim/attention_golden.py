"""The golden model of attention. NumPy alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer_attention import IntegerAttention

__all__ = ["AttentionStep", "attention_steps", "run_attention"]

Array = np.ndarray
EXACT_BITS = 53
"""Bits below which sums of integers are exact in float64."""


@dataclass(frozen=True)
class AttentionStep:
    """What happens for one query of each sequence of a batch.

    Parameters
    ----------
    weights : numpy.ndarray
        Int64 (batch, keys); 0 of keys that are not met.
    weighted, totals : numpy.ndarray
        Int64 (batch, features) and (batch, 1): sums of weighted values, and of weights.
    outputs : numpy.ndarray
        Int64 (batch, features).
    """

    weights: Array
    weighted: Array
    totals: Array
    outputs: Array


def run_attention(
    layer: IntegerAttention, values: Sequence[Array], lengths: Sequence[Array], *, trace: bool
) -> tuple[Array, dict[str, Array], int]:
    """Output int64 (time, batch, features) from queries, keys and values (time, batch, features).

    ``lengths`` are those of the sources, each (batch,); timesteps beyond them mean nothing. If it
    is traced, also what is multiplied, bool (batch, time, size): of each query ``q``, and of its
    weights ``p``, with the keys that it meets, ``k``; and how many outputs the format cuts off.
    """
    queries, keys, _ = values
    steps, batch, _ = queries.shape
    outputs = np.empty((steps, batch, layer.value_size), dtype=np.int64)
    met = np.zeros((batch, steps, len(keys)), dtype=bool)
    weighed = np.zeros_like(met)
    living = np.arange(steps) < np.asarray(lengths[0])[:, None]
    cut = 0
    for time, step in enumerate(attention_steps(layer, values, lengths)):
        outputs[time] = step.outputs
        if trace:
            met[:, time] = living_keys(layer, time, len(keys), lengths)
            weighed[:, time] = step.weights != 0
            cut += int(saturated(layer, step)[living[:, time]].sum())
    if not trace:
        return outputs, {}, 0
    met &= living[:, :, None]
    asked = queries.swapaxes(0, 1) != 0
    if not layer.skips_zeros or layer.form == "additive":
        asked = np.ones_like(asked)
    fired = {"q": asked & living[:, :, None], "p": weighed & met, "k": met}
    if not layer.skips_zeros:
        fired["p"] = met
    return outputs, fired, cut


def living_keys(layer: IntegerAttention, time: int, keys: int, lengths: Sequence[Array]) -> Array:
    """Keys that a query meets, bool (batch, keys).

    Of a sequence that has no such query, all are met.
    """
    places = np.arange(keys)
    ends = np.asarray(lengths[1])[:, None]
    return places < (np.minimum(ends, time + 1) if layer.causal else ends)


def saturated(layer: IntegerAttention, step: AttentionStep) -> Array:
    """Which outputs (batch, features) the format cuts off."""
    shift = layer.context.frac - layer.format.frac
    exact = step.weighted * layer.inverse(step.totals)
    if shift > 0:
        exact = (exact + (1 << shift - 1)) >> shift
        return (exact < layer.format.min) | (exact > layer.format.max)
    limits = layer.format.min >> -shift, layer.format.max >> -shift
    return (exact < limits[0]) | (exact > limits[1])


def attention_steps(
    layer: IntegerAttention, values: Sequence[Array], lengths: Sequence[Array]
) -> Iterator[AttentionStep]:
    """All timesteps of queries one after the other; see :func:`run_attention`."""
    queries, keys, kept = (part.swapaxes(0, 1) for part in values)
    sums = Sums(layer, keys, kept)
    for time in range(queries.shape[1]):
        there = living_keys(layer, time, keys.shape[1], lengths)
        weights = layer.weights(sums.scores(queries[:, time]), there)
        weighted, totals = sums.weighted(weights), weights.sum(axis=1, keepdims=True)
        yield AttentionStep(weights, weighted, totals, layer.round_context(weighted, totals))


class Sums:
    """Exact sums of products with keys and values (batch, time, features)."""

    def __init__(self, layer: IntegerAttention, keys: Array, values: Array):
        self._layer = layer
        kinds = [
            np.float64 if format.width <= EXACT_BITS else np.int64
            for format in (layer.score, layer.weighted)
        ]
        self._keys: Array = keys.astype(np.int64 if layer.form == "additive" else kinds[0])
        self._values: Array = values.astype(kinds[1])

    def scores(self, queries: Array) -> Array:
        """Int64 (batch, keys) of queries (batch, size)."""
        layer = self._layer
        if layer.energies is None:
            return _products(self._keys, queries[:, :, None])[:, :, 0]
        frac = layer.hidden_sum.frac
        total = (queries[:, None].astype(np.int64) << (frac - layer.query.frac)) + (
            self._keys << (frac - layer.key.frac)
        )
        found: Array = layer.hidden_of(total) @ layer.energies
        return found

    def weighted(self, weights: Array) -> Array:
        """Int64 (batch, features) of weights (batch, keys)."""
        return _products(weights[:, None], self._values)[:, 0]


def _products(a: Array, b: Array) -> Array:
    kind = b.dtype if b.dtype == np.float64 else a.dtype
    return np.matmul(a.astype(kind), b.astype(kind)).astype(np.int64)
