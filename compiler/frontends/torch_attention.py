"""Attention of torch as layers on streams."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ..axes import BATCH_FIRST, TIME_FIRST
from ..nn.attention import Attention as TorchAttention
from .stream_attention import attend, attend_products, check_axes
from .stream_context import Context
from .stream_operations import multiply
from .tensors import Stream
from .torch_arrays import as_array
from .torch_values import as_stream

__all__ = ["apply_attention", "scaled_dot_product_attention"]


def apply_attention(
    context: Context, module: TorchAttention, query: Stream, memory: Any = None
) -> Stream:
    """``deltaloom.nn.Attention``: three linear layers, attention, and a linear layer."""
    memory = query if memory is None else as_stream(memory, context.subject)
    axes = BATCH_FIRST if module.batch_first else TIME_FIRST
    check_axes(context, axes, query, memory, module.causal)
    streams = [
        project(context, name, getattr(module, name), stream)
        for name, stream in (("q_proj", query), ("k_proj", memory), ("v_proj", memory))
    ]
    energies = None
    if module.energies is not None:
        energies = as_array(module.energies, f"{context.stem}.energies")
    attended = attend(
        context, streams, module.form, module.causal, scale=module.scale, energies=energies
    )
    return project(context, "out_proj", module.out_proj, attended)


def scaled_dot_product_attention(
    context: Context,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Stream:
    """The function of torch, on (batch, time, features) or one head of that, (batch, 1, ...)."""
    if attn_mask is not None:
        raise context.refusal("is given attn_mask", "is_causal alone")
    if dropout_p:
        raise context.refusal(
            f"is called with dropout_p={dropout_p} and drops at inference too", "dropout_p=0"
        )
    if enable_gqa:
        raise context.refusal("has enable_gqa=True", "one head")
    streams = [as_stream(part, context.subject) for part in (query, key, value)]
    return attend_products(context, streams, is_causal, scale)


def project(context: Context, name: str, module: nn.Linear, stream: Stream) -> Stream:
    stem = f"{context.stem}.{name}"
    weight = as_array(module.weight, f"{stem}.weight")
    bias = np.zeros(len(weight))
    if module.bias is not None:
        bias = as_array(module.bias, f"{stem}.bias")
    return multiply(replace(context, stem=stem), stream, weight, bias)
