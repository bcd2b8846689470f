"""Variants of the long short-term memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stack import RecurrentStack

__all__ = ["CoupledLSTM", "PeepholeLSTM"]


class CoupledLSTM(RecurrentStack):
    """LSTM with coupled gates, i = 1 - f (Greff et al. 2017: CIFG); rows f, g, o."""

    gates = ("f", "g", "o")
    states = ("h", "c")

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        h, c = state
        weight, bias = self.parameter("weight_hh", suffix), self.parameter("bias_hh", suffix)
        f, g, o = (u + functional.linear(h, weight, bias)).chunk(3, -1)
        f = f.sigmoid()
        c = f * c + (1 - f) * g.tanh()
        return o.sigmoid() * c.tanh(), c


class PeepholeLSTM(RecurrentStack):
    """LSTM whose gates see the cell state (Gers & Schmidhuber 2000; ONNX LSTM with P).

    Rows i, o, f, g and peepholes ``weight_ph_l0`` (3, hidden_size) of i, o, f, as in ONNX. Input
    and forget gate see the previous cell state, the output gate the new one.
    """

    gates = ("i", "o", "f", "g")
    states = ("h", "c")

    def add_parameters(self, suffix: str, width: int) -> None:
        super().add_parameters(suffix, width)
        peepholes = nn.Parameter(torch.empty(3, self.hidden_size))
        self.register_parameter(f"weight_ph_{suffix}", peepholes)

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        h, c = state
        weight, bias = self.parameter("weight_hh", suffix), self.parameter("bias_hh", suffix)
        p_i, p_o, p_f = self.parameter("weight_ph", suffix)
        i, o, f, g = (u + functional.linear(h, weight, bias)).chunk(4, -1)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c
