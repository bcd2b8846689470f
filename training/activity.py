"""How much the operands of products change: a loss that slows signals down."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..compiler.integer import IntegerLayer
from ..sim.activity import rows_of

__all__ = ["delta_activity"]


def delta_activity(
    layers: Sequence[tuple[IntegerLayer, Mapping[str, Tensor], np.ndarray]],
) -> Tensor:
    """Mean absolute change of operands, as a share of their formats' ranges.

    Each change is weighted with the rows that its column has: the products that it costs.

    Parameters
    ----------
    layers : sequence of (IntegerLayer, mapping of str to torch.Tensor, numpy.ndarray)
        A layer, its operands' real values (time, batch, size), and the timesteps of each
        sequence, (batch,).

    Notes
    -----
    The penalty of Neil et al. 2017, on the values that the products stand for.
    """
    total, products = torch.zeros(()), 0
    for layer, operands, lengths in layers:
        for operand in layer.operands:
            values = operands[operand.name]
            living = (torch.arange(len(values))[:, None] < torch.from_numpy(lengths))[:, :, None]
            changes = torch.diff(values, dim=0, prepend=torch.zeros_like(values[:1])).abs()
            rows = rows_of(layer, operand)
            reach = operand.format.scale * (1 << operand.format.width)
            total = total + torch.where(living, changes, 0).sum() * (rows / reach)
            products += int(lengths.sum()) * operand.size * rows
    return total / products
