"""Attention as a differentiable function of torch tensors.

The forward pass is the golden model's. Backwards, roundings are straight-through (Bengio et al.
2013): the derivative is that of the softmax and of tanh in float, at the same queries, keys and
values, with the weights and hidden values that the integers stand for.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..compiler.errors import DeltaloomError
from ..compiler.integer_attention import IntegerAttention
from ..sim.attention_golden import attention_steps, living_keys
from .rounding import round_values, straight

__all__ = ["run_attention"]


def run_attention(
    layer: IntegerAttention,
    values: Sequence[Tensor],
    lengths: Sequence[np.ndarray],
    energies: Tensor | None = None,
    step: Tensor | None = None,
) -> Tensor:
    """Output (time, batch, features) of queries, keys and values, each (time, batch, features).

    ``lengths`` are those of the sources, each (batch,); timesteps beyond a sequence's length mean
    nothing. ``energies`` are the real values of the layer's; ``step`` is the exponent of the step
    of the output's format, if it is learned.
    """
    if max(lengths[1]) > layer.max_steps:
        raise DeltaloomError(
            f"Input must hold sequences of at most {layer.max_steps} timesteps, which is what "
            f"layer {layer.name} has room for, not of {max(lengths[1])}"
        )
    integers = [
        torch.round(part.detach().double() * 2.0**format.frac).long().numpy()
        for part, format in zip(values, layer.operands, strict=True)
    ]
    steps = list(attention_steps(layer, integers, lengths))
    outputs = layer.format.dequantize(np.stack([found.outputs for found in steps]))
    exact = np.stack([found.weights / found.totals for found in steps], axis=1)
    met = np.stack(
        [living_keys(layer, time, len(values[1]), lengths) for time in range(len(steps))], axis=1
    )

    queries, keys, kept = (part.transpose(0, 1) for part in values)
    if energies is None:
        scores = queries @ keys.transpose(1, 2) * layer.scale_value
    else:
        scores = _hidden(layer, integers, queries, keys) @ energies.to(queries.dtype)
    soft = scores.masked_fill(~torch.from_numpy(met), -torch.inf).softmax(dim=2)
    weights = straight(torch.from_numpy(exact), soft)
    context = (weights @ kept).transpose(0, 1)
    rounded = round_values(context, layer.format, context.dtype, step)
    return straight(torch.from_numpy(outputs), rounded)


def _hidden(
    layer: IntegerAttention, integers: Sequence[np.ndarray], queries: Tensor, keys: Tensor
) -> Tensor:
    """What energies are multiplied with, (batch, queries, keys, features)."""
    assert layer.hidden is not None
    frac = layer.hidden_sum.frac
    asked, kept = (
        part.swapaxes(0, 1) << (frac - format.frac)
        for part, format in zip(integers[:2], layer.operands[:2], strict=True)
    )
    exact = layer.hidden.dequantize(layer.hidden_of(asked[:, :, None] + kept[:, None]))
    return straight(torch.from_numpy(exact), torch.tanh(queries[:, :, None] + keys[:, None]))
