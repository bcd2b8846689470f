"""Which nodes of a graph have a derivative, and those of functions, from their results."""

from collections.abc import Callable

import numpy as np

from ..compiler.graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Reduce,
    Rescale,
    State,
    Sub,
)

__all__ = ["BY_RESULT", "INVERSES", "has_derivative"]

Array = np.ndarray

BY_RESULT: dict[str, Callable[[Array], Array]] = {
    "relu": lambda y: (y > 0).astype(y.dtype),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
}
"""Derivatives that follow from a function's result, at less cost than from its argument."""

INVERSES: dict[str, Callable[[Array], Array]] = {
    "root": lambda y: -0.5 * y**3,
    "reciprocal": lambda y: -(y**2),
}
"""The same of scalars' inverses."""


def has_derivative(node: Node) -> bool:
    """Whether a node of a float graph can be trained."""
    if isinstance(node, Activation):
        return node.definition.slope is not None
    if isinstance(node, Inverse):
        return node.function in INVERSES
    linear = Rescale | Multiple | Reduce
    return isinstance(node, Input | State | Constant | Affine | Add | Sub | Mul | linear)
