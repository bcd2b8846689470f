"""Variants of the gated recurrent unit."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stack import RecurrentStack

__all__ = ["LiGRU", "ResetBeforeGRU"]


class LiGRU(RecurrentStack):
    """Light gated recurrent unit (Ravanelli et al. 2018; pytorch-kaldi); rows z, n.

    The input's products are batch-normalised over time and batch by ``norm_l0``, whose bias is
    the only one; ``bias=False`` leaves it out.
    """

    gates = ("z", "n")

    def add_parameters(self, suffix: str, width: int) -> None:
        rows = 2 * self.hidden_size
        self.register_parameter(f"weight_ih_{suffix}", nn.Parameter(torch.empty(rows, width)))
        hidden = torch.empty(rows, self.hidden_size)
        self.register_parameter(f"weight_hh_{suffix}", nn.Parameter(hidden))
        norm = nn.BatchNorm1d(rows, momentum=0.05)
        if not self.bias:
            norm.register_parameter("bias", None)
        self.add_module(f"norm_{suffix}", norm)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for norm in self.children():
            assert isinstance(norm, nn.BatchNorm1d)
            norm.reset_running_stats()
            nn.init.ones_(norm.weight)
            if self.bias:
                nn.init.zeros_(norm.bias)

    def input_products(self, x: Tensor, suffix: str) -> Tensor:
        products = super().input_products(x, suffix)
        normalised: Tensor = self.parameter("norm", suffix)(products.flatten(0, 1))
        return normalised.view_as(products)

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        (h,) = state
        z, n = (u + functional.linear(h, self.parameter("weight_hh", suffix))).chunk(2, -1)
        z = z.sigmoid()
        return (z * h + (1 - z) * n.relu(),)


class ResetBeforeGRU(RecurrentStack):
    """GRU whose reset gate precedes the product (Cho et al. 2014; ONNX linear_before_reset=0).

    Rows r, z, n as in ``torch.nn.GRU``.
    """

    gates = ("r", "z", "n")

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        (h,) = state
        size = 2 * self.hidden_size
        weight, bias = self.parameter("weight_hh", suffix), self.parameter("bias_hh", suffix)
        b_g, b_n = (None, None) if bias is None else (bias[:size], bias[size:])
        gates = u[..., :size] + functional.linear(h, weight[:size], b_g)
        r, z = gates.sigmoid().chunk(2, -1)
        n = (u[..., size:] + functional.linear(r * h, weight[size:], b_n)).tanh()
        return ((1 - z) * n + z * h,)
