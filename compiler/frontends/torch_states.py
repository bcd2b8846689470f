"""Tensors that recurrent modules of torch start from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .stream_context import Context
from .torch_arrays import as_array
from .torch_values import InitialState

__all__ = ["STATES", "GivenState", "initial_states", "is_zero"]


class GivenState:
    """A state that is an input of the module: whoever runs the network gives it, or it is zero."""

    def __getitem__(self, place: int) -> "GivenState":
        return self


def is_zero(state: Any) -> bool:
    """Whether a recurrent module that starts from the state starts from zeros."""
    match state:
        case None | InitialState() | GivenState():
            return True
        case torch.Tensor():
            return not state.any()
        case tuple() | list():
            return all(map(is_zero, state))
    return False


def initial_states(
    context: Context, start: Any, sizes: Mapping[str, int], layers: int
) -> list[dict[str, np.ndarray]]:
    """What each layer and direction starts from, float64 (size,) by state; empty for zeros.

    Parameters
    ----------
    start : Any
        What the module is given: a tensor (layers, batch, size) that is the same for the whole
        batch, or one for each state.
    sizes : mapping of str to int
        Of the states, in their order.
    layers : int
        Layers times directions.

    Raises
    ------
    UnsupportedError
        For a computed state, or one that differs from sequence to sequence.
    """
    found: list[dict[str, np.ndarray]] = [{} for _ in range(layers)]
    if is_zero(start):
        return found
    given = list(start) if isinstance(start, tuple | list) else [start]
    if len(given) != len(sizes):
        raise context.refusal(f"is given {len(given)} initial states", f"{len(sizes)}")
    for (name, size), state in zip(sizes.items(), given, strict=True):
        if is_zero(state):
            continue
        if not isinstance(state, torch.Tensor):
            raise context.refusal(
                "is given an initial state that is computed",
                "zeros, a constant or parameter, and an input of the module",
            )
        values = as_array(state, f"Initial state {name} of {context.stem}")
        if values.ndim != 3 or values.shape[::2] != (layers, size):
            raise context.refusal(
                f"is given an initial state {name} of shape {values.shape}",
                f"({layers}, batch, {size})",
            )
        if (values != values[:, :1]).any():
            raise context.refusal(
                "is given a constant initial state that differs from sequence to sequence",
                "one for the whole batch",
            )
        for layer, vector in zip(found, values[:, 0], strict=True):
            layer[name] = vector
    return found


def expand(context: Context, value: Any, *sizes: Any) -> torch.Tensor:
    """A constant for the whole batch: it stays one."""
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes
    _check_batch(context, value, [size == -1 for size in wanted], wanted)
    return value


def repeat(context: Context, value: Any, *sizes: Any) -> torch.Tensor:
    """As :func:`expand`."""
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], Sequence) else sizes
    _check_batch(context, value, [size == 1 for size in wanted], wanted)
    return value


def _check_batch(context: Context, value: Any, kept: list[bool], sizes: Sequence[Any]) -> None:
    """Raise unless all axes but the second one of a constant, which is one long, are kept."""
    if not isinstance(value, torch.Tensor):
        raise context.refusal("expands a computed tensor", "an initial state, over its batch")
    shape = list(value.shape)
    kept = [keep or size == n for keep, size, n in zip(kept, sizes, shape, strict=False)]
    if len(sizes) != 3 or len(shape) != 3 or not (kept[0] and kept[2]):
        raise context.refusal(
            f"expands a constant of shape {tuple(shape)}", "the second of three axes, the batch"
        )


STATES = {"expand": expand, "repeat": repeat}
"""Methods of tensors by name."""
