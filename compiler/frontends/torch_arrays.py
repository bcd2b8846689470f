"""Parameters of torch modules as NumPy arrays."""

import numpy as np
import torch

from ..errors import UnsupportedError

__all__ = ["as_array"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def as_array(values: torch.Tensor, name: str) -> np.ndarray:
    """A copy of a parameter in float64; ``name`` is for errors."""
    if values.is_meta:
        raise UnsupportedError(f"Parameter {name} must hold values; it is on the meta device")
    if values.dtype not in DTYPES:
        raise UnsupportedError(
            f"Parameter {name} has type {values.dtype}; supported are "
            f"{', '.join(str(dtype) for dtype in DTYPES)}"
        )
    return values.detach().cpu().double().numpy().copy()
