"""Sign-and-shift weights that are trained by their bits.

DenseShift (Li et al. 2023): a weight is sgn(t) 2**S, its exponent built from binary latents as
S <- (S + 1) b(t_k), so that S counts the latents above zero at the end of the list. b and sgn are
straight-through, and backwards the magnitude is sqrt(S + 1) (sign-scale decomposition), which
keeps derivatives from growing and vanishing with the weight. Latents start near zero, where a few
steps turn them.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..compiler.encodings import SignShift, WeightFormat
from .plan_formats import AnyFormat
from .rounding import straight, straight_weights

__all__ = ["DenseShift", "is_shift"]

DEVIATION = 1e-3
"""Of the latents at first."""


def is_shift(format: AnyFormat | None) -> bool:
    """Whether weights are trained by their bits."""
    return (
        isinstance(format, WeightFormat)
        and isinstance(format.encoding, SignShift)
        and format.encoding.name.startswith("shift")
    )


class DenseShift(nn.Module):
    """A matrix of weights as latents of its bits.

    Parameters
    ----------
    values : numpy.ndarray
        Where it starts: at the nearest levels.
    dtype : torch.dtype
        Floating-point type of the latents.
    format : WeightFormat
        Of the weights.

    Attributes
    ----------
    sign : torch.nn.Parameter
        Latents of the signs, in the shape of the weights.
    exponent : torch.nn.Parameter
        Latents of the exponents, (largest exponent, ...).
    """

    def __init__(self, values: np.ndarray, dtype: torch.dtype, format: WeightFormat):
        super().__init__()
        integers = torch.from_numpy(format.quantize(values))
        exponents = torch.log2(integers.abs().double()).round()
        most = int(format.max).bit_length() - 1
        place = torch.arange(most).reshape(-1, *(1,) * values.ndim)
        latents = DEVIATION * torch.randn(most, *values.shape, dtype=dtype)
        latents = torch.where(place == most - 1 - exponents, -latents.abs(), latents)
        latents = torch.where(place >= most - exponents, latents.abs(), latents)
        signs = (DEVIATION * torch.randn(values.shape, dtype=dtype)).abs()
        self.sign = nn.Parameter(torch.where(integers < 0, -signs, signs))
        self.exponent = nn.Parameter(latents)

    def forward(self, format: AnyFormat, step: Tensor | None) -> Tensor:
        """What the compiler rounds: levels of the format already."""
        sign = straight(torch.where(self.sign < 0, -1.0, 1.0), self.sign)
        exponent = torch.zeros_like(sign)
        for latent in self.exponent:
            exponent = (exponent + 1) * straight((latent > 0).to(latent.dtype), latent)
        exact = format.scale * sign * torch.exp2(exponent.round())
        found = straight(exact.detach(), format.scale * sign * torch.sqrt(exponent + 1))
        return found if step is None else found * torch.exp2(step - step.detach())

    def straight(
        self, latent: Tensor, rounded: Tensor, format: AnyFormat, step: Tensor | None
    ) -> Tensor:
        """``rounded``, with the derivatives that belong to what ``forward`` gave."""
        return straight_weights(latent, rounded, format)
