"""Roundings with straight-through derivatives."""

from math import log
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..compiler.fixed import Format
from .plan_formats import AnyFormat

__all__ = ["LN2", "round_values", "straight", "straight_weights"]

LN2 = log(2)


def round_values(
    values: Tensor, format: Format, dtype: torch.dtype, step: Tensor | None = None
) -> Tensor:
    """Nearest values of a format (halves up), saturated; the derivative is zero where they are.

    ``step`` is the exponent of the format's step, if it is learned.
    """
    found: Tensor = _Rounding.apply(values, step, format, dtype)
    return found


def straight_weights(
    latent: Tensor, rounded: Tensor, format: AnyFormat, step: Tensor | None = None
) -> Tensor:
    """The weights ``rounded``, whose derivative goes to the float ones that they came from.

    A float weight that saturates gets those derivatives alone that bring it back. ``step`` is the
    exponent of the format's step, if it is learned.
    """
    found: Tensor = _StraightWeights.apply(latent, step, rounded, format)
    return found


def straight(values: Tensor, through: Tensor) -> Tensor:
    """``values``, whose derivatives are those of ``through``, of the same shape."""
    found: Tensor = _Straight.apply(values, through)
    return found


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, through: Tensor) -> Tensor:
        return values.to(through.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, grads[0]


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, step: Tensor | None, format: Format, dtype: torch.dtype
    ) -> Tensor:
        scaled = torch.floor(values.double() * 2.0**format.frac + 0.5)
        kept = scaled.clamp(format.min, format.max)
        found = (kept * format.scale).to(dtype)
        ctx.learned = step is not None
        ctx.save_for_backward(kept != scaled, *((values, found) if ctx.learned else ()))
        ctx.dtype = values.dtype
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        cut, *learned = ctx.saved_tensors
        passed = grads[0].masked_fill(cut, 0)
        step = _step(grads[0], passed, *learned) if ctx.learned else None
        return passed.to(ctx.dtype), step, None, None


def _step(arrived: Tensor, passed: Tensor, values: Tensor, found: Tensor) -> Tensor:
    """Derivative of the exponent of a step."""
    return (LN2 * ((arrived * found).sum() - (passed * values).sum())).float()


class _StraightWeights(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, step: Tensor | None, rounded: Tensor, format: AnyFormat
    ) -> Tensor:
        ctx.save_for_backward(latent, rounded)
        ctx.format, ctx.learned = format, step is not None
        return rounded.view_as(rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        latent, rounded = ctx.saved_tensors
        format, gradient = ctx.format, grads[0]
        low, high = (format.min - 0.5) * format.scale, (format.max + 0.5) * format.scale
        above, below = latent >= high, latent < low
        leaving = (above & (gradient < 0)) | (below & (gradient > 0))
        step = None
        if ctx.learned:
            step = _step(gradient, gradient.masked_fill(above | below, 0), latent, rounded)
        return gradient.masked_fill(leaving, 0), step, None, None
