"""Roundings with straight-through derivatives."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..compiler.fixed import Format

__all__ = ["round_values", "straight_weights"]


def round_values(values: Tensor, format: Format, dtype: torch.dtype) -> Tensor:
    """Nearest values of a format (halves up), saturated; the derivative is zero where they are."""
    found: Tensor = _Rounding.apply(values, format, dtype)
    return found


def straight_weights(latent: Tensor, rounded: Tensor, format: Format) -> Tensor:
    """The weights ``rounded``, whose derivative goes to the float ones that they came from.

    A float weight that saturates gets those derivatives alone that bring it back.
    """
    found: Tensor = _StraightWeights.apply(latent, rounded, format)
    return found


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, format: Format, dtype: torch.dtype) -> Tensor:
        scaled = torch.floor(values.double() * 2.0**format.frac + 0.5)
        kept = scaled.clamp(format.min, format.max)
        ctx.save_for_backward(kept != scaled)
        ctx.dtype = values.dtype
        return (kept * format.scale).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        (cut,) = ctx.saved_tensors
        return grads[0].masked_fill(cut, 0).to(ctx.dtype), None, None


class _StraightWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, rounded: Tensor, format: Format) -> Tensor:
        ctx.save_for_backward(latent)
        ctx.format = format
        return rounded.view_as(rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        (latent,) = ctx.saved_tensors
        format, gradient = ctx.format, grads[0]
        low, high = (format.min - 0.5) * format.scale, (format.max + 0.5) * format.scale
        leaving = ((latent > high) & (gradient < 0)) | ((latent < low) & (gradient > 0))
        return gradient.masked_fill(leaving, 0), None, None
