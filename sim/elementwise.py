"""Element-wise integer operations of the golden model, a NumPy call or two each."""

from collections.abc import Callable

import numpy as np

from ..compiler.fixed import Format, half_unit
from ..compiler.graph import (
    Activation,
    Add,
    Inverse,
    Mul,
    Multiple,
    Reduce,
    Rescale,
    Scale,
    Sub,
)
from ..compiler.integer import IntegerLayer

__all__ = ["Count", "Step", "Values", "elementwise_step", "integer_type"]

Values = dict[int, np.ndarray]
"""By node position: integers (batch, size)."""

Step = Callable[[Values], np.ndarray]
"""Computes a node's integers from those of its operands."""

Count = Callable[[str, np.ndarray], None]
"""Told a rescale's name and where (batch, size) its format cut a value off."""


def integer_type(format: Format) -> type[np.signedinteger]:
    """The narrower one of two NumPy types that hold a format."""
    return np.int32 if format.width + int(not format.signed) <= 32 else np.int64


def elementwise_step(layer: IntegerLayer, position: int, count: Count | None) -> Step:
    """The NumPy form of an element-wise node; ``count`` is told of values that are cut off."""
    nodes = layer.graph.nodes
    node = nodes[position]
    format = format_of(layer, position)
    kind = integer_type(format)

    def aligned(operand: int) -> Step:
        factor = kind(1 << (format.frac - format_of(layer, operand).frac))
        if factor == 1:
            return lambda values: values[operand]
        return lambda values: np.multiply(values[operand], factor, dtype=kind)

    match node:
        case Add():
            a, b = aligned(node.a), aligned(node.b)
            return lambda values: np.add(a(values), b(values), dtype=kind)
        case Sub():
            a, b = aligned(node.a), aligned(node.b)
            return lambda values: np.subtract(a(values), b(values), dtype=kind)
        case Mul(a=left, b=right):
            return lambda values: np.multiply(values[left], values[right], dtype=kind)
        case Activation(function="relu", operand=operand):
            return lambda values: np.maximum(values[operand], 0)
        case Activation(function="abs", operand=operand):
            return lambda values: np.abs(values[operand], dtype=kind)
        case Activation(operand=operand):
            results = layer.tables[node.name].results.astype(kind, copy=False)
            return lambda values: results.take(values[operand], mode="wrap")
        case Scale(operand=operand, multiplier=multiplier):
            return lambda values: np.multiply(values[operand], multiplier, dtype=kind)
        case Multiple(operand=operand, factor=factor):
            return lambda values: np.multiply(values[operand], factor, dtype=kind)
        case Reduce(operand=operand):
            return lambda values: values[operand].sum(axis=-1, keepdims=True, dtype=kind)
        case Inverse(operand=operand):
            found = layer.inverse(node)
            return lambda values: found(values[operand]).astype(kind)
        case Rescale(operand=operand):
            return rescale_step(node.name, operand, format_of(layer, operand), format, count)
    raise AssertionError(f"no integer form of {node}")


def rescale_step(
    name: str, operand: int, source: Format, target: Format, count: Count | None
) -> Step:
    """Rounding half up and saturation, as :func:`~deltaloom.compiler.fixed.requantize` has it."""
    kind = integer_type(target)
    shift = source.frac - target.frac
    half = half_unit(shift)
    # Before a left shift the value is cut where the shifted one saturates anyway.
    low, high = (target.min >> -shift, target.max >> -shift) if shift < 0 else (0, 0)

    def step(values: Values) -> np.ndarray:
        value = values[operand].astype(np.int64, copy=False)
        if shift > 0:
            value = (value + half) >> shift
        elif shift < 0:
            value = np.clip(value, low - 1, high + 1) << -shift
        cut = np.minimum(np.maximum(value, target.min), target.max)
        if count:
            count(name, cut != value)
        return cut.astype(kind)

    return step


def format_of(layer: IntegerLayer, position: int) -> Format:
    found = layer.graph.nodes[position].format
    assert found is not None, "an integer layer's nodes have formats"
    return found
