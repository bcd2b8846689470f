"""Which columns of an operand are multiplied, and the values that the kept sums stand for."""

import numpy as np

from ..compiler.graph import State
from ..compiler.integer import IntegerLayer, Operand, Skip

__all__ = ["fired_columns", "held_values", "hold", "selected"]

Array = np.ndarray


def fired_columns(layer: IntegerLayer, operand: Operand, used: Array, loaded: Array) -> Array:
    """Which columns are multiplied, given the values (time, batch, size) that they stand for.

    ``loaded`` (batch,) are the sequences whose state was given. The state that others start from
    is never listed: sums start with its products.
    """
    match layer.skip:
        case Skip.ZERO:
            fired = used != 0
        case Skip.DELTA:
            fired = np.diff(used, axis=0, prepend=0) != 0
        case Skip.TOP_K:
            assert operand.kept is not None
            # Where fewer differ than are kept, the first of the others fill the list.
            fired = selected(np.diff(used, axis=0, prepend=0), operand.kept)
        case Skip.NONE:
            fired = np.ones(used.shape, dtype=bool)
    if isinstance(layer.graph.nodes[operand.source], State):
        if layer.skip is Skip.TOP_K:
            fired[0] = used[0] != 0  # a state that is given counts whole
        fired[0] &= loaded[:, None]
    return fired


def selected(differences: Array, count: int) -> Array:
    """Where the ``count`` largest of some differences (..., size) are; the first of equal ones."""
    order = np.argsort(-abs(differences), axis=-1, kind="stable")[..., :count]
    found = np.zeros(differences.shape, dtype=bool)
    np.put_along_axis(found, order, True, axis=-1)
    return found


def hold(layer: IntegerLayer, operand: Operand, value: Array, before: Array) -> Array:
    """What products of a value (batch, size) stand for, given what they stood for before."""
    difference = value - before
    match layer.skip:
        case Skip.DELTA if operand.theta > 1:
            kept = abs(difference) >= operand.theta
        case Skip.TOP_K if operand.selected:
            kept = selected(difference, operand.selected)
        case _:
            return value
    return np.where(kept, value, before)


def held_values(layer: IntegerLayer, operand: Operand, inputs: Array) -> Array:
    """What the kept sums stand for: the input, or with a threshold the value last used."""
    if (layer.skip is not Skip.DELTA or operand.theta <= 1) and not operand.selected:
        return inputs
    held = np.empty_like(inputs)
    before = np.zeros_like(inputs[0])
    for time, value in enumerate(inputs):
        before = hold(layer, operand, value, before)
        held[time] = before
    return held
