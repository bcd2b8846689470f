"""Attention that a torch module spells out: products, softmax, energies."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .stream_attention import Met, Part, Scores, Weights, meet, score
from .stream_context import Context
from .tensors import Stream
from .torch_arrays import as_array

__all__ = ["follow_attention", "follow_attention_module"]


def follow_attention(
    context: Context, operation: str, arguments: Sequence[Any], named: Mapping[str, Any]
) -> Stream | Part | None:
    """What an operation gives that is a part of attention; None if it is not."""
    given = [*arguments, *named.values()]
    if operation in ("mul", "div"):
        given = [
            float(value) if isinstance(value, torch.Tensor) and value.numel() == 1 else value
            for value in given
        ]
    match operation, *given:
        case "matmul" | "bmm", Stream() as query, Stream() as key:
            return score(context, query, key)
        case "matmul" | "bmm", Weights() as weights, Stream() as value:
            return weights.of(context, value)
        case "matmul", Met() as met, torch.Tensor() as energies:
            return met.scores(context, as_array(energies, f"energies of {context.subject}"))
        case "linear", Met() as met, torch.Tensor() as weight, *_:
            return met.scores(context, as_array(weight, f"energies of {context.subject}").T)
        case "mul", Scores() as scores, int() | float() as factor:
            return scores.times(factor)
        case "mul" | "__rmul__", int() | float() as factor, Scores() as scores:
            return scores.times(factor)
        case "div", Scores() as scores, int() | float() as divisor if divisor:
            return scores.times(1 / divisor)
        case "softmax", Scores() as scores, int() as axis if context.stem != "log_softmax":
            return scores.weights(context, axis)
        case "add", Stream() as query, Stream() as key if not named:
            return meet(query, key)
        case "tanh", Met(query, key, False):
            return Met(query, key, True)
        case "squeeze", Scores() as scores, int() as axis:
            return scores.squeezed(context, axis)
        case "select", Scores() as scores, int() as axis, 0:
            return scores.squeezed(context, axis)
        case "getitem", Scores() as scores, index if _takes_column(index):
            return scores.squeezed(context, -1)
    return None


def follow_attention_module(context: Context, module: nn.Module, part: Part) -> Part | None:
    """What a module gives of a part of attention; None if that is nothing.

    A bias of energies is the same for every key, which softmax takes no notice of.
    """
    match module, part:
        case nn.Tanh(), Met(query, key, False):
            return Met(query, key, True)
        case nn.Linear(), Met() as met:
            return met.scores(context, as_array(module.weight, f"{context.stem}.weight").T)
        case nn.Softmax(), Scores() as scores if module.dim is not None:
            return scores.weights(context, module.dim)
    return None


def _takes_column(index: Any) -> bool:
    """Whether an index is ``[..., 0]``, however it is written."""
    return index in ((..., 0), (*[slice(None)] * 3, 0))
