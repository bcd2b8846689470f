"""The long short-term memory with layer normalisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stack import RecurrentStack

__all__ = ["LayerNormLSTM", "MeanDeviationNorm"]


class MeanDeviationNorm(nn.LayerNorm):
    """Layer normalisation by the mean absolute deviation (Sari et al. 2021), over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        distance = x - x.mean(-1, keepdim=True)
        deviation = distance.abs().mean(-1, keepdim=True)
        normalised = distance / (deviation + self.eps) * self.weight
        return normalised if self.bias is None else normalised + self.bias


class LayerNormLSTM(RecurrentStack):
    """LSTM with layer normalisation (Ba et al. 2016; torch's fastrnns); rows i, f, g, o.

    ``norm_x_l0`` and ``norm_h_l0`` normalise the products of all gates together, ``norm_c_l0``
    the cell state, which is carried normalised. The only biases are those of the normalisations;
    ``bias=False`` leaves them out.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of ``torch.nn.LSTM``.
    form : str
        ``variance``, or ``mad`` for the mean absolute deviation (Sari et al. 2021).
    eps : float
        Added to the variance, or to the mean absolute deviation.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        form: str = "variance",
        eps: float = 1e-5,
    ):
        if form not in ("variance", "mad"):
            raise ValueError(f"form must be 'variance' or 'mad', not {form!r}")
        self.form = form
        self.eps = eps
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    def add_parameters(self, suffix: str, width: int) -> None:
        rows = 4 * self.hidden_size
        for name, columns in (("weight_ih", width), ("weight_hh", self.hidden_size)):
            parameter = nn.Parameter(torch.empty(rows, columns))
            self.register_parameter(f"{name}_{suffix}", parameter)
        kind = nn.LayerNorm if self.form == "variance" else MeanDeviationNorm
        for name, size in (("x", rows), ("h", rows), ("c", self.hidden_size)):
            self.add_module(f"norm_{name}_{suffix}", kind(size, eps=self.eps, bias=self.bias))

    def input_products(self, x: Tensor, suffix: str) -> Tensor:
        products = functional.linear(x, self.parameter("weight_ih", suffix))
        normalised: Tensor = self.parameter("norm_x", suffix)(products)
        return normalised

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        h, c = state
        products = functional.linear(h, self.parameter("weight_hh", suffix))
        i, f, g, o = (u + self.parameter("norm_h", suffix)(products)).chunk(4, -1)
        c = self.parameter("norm_c", suffix)(f.sigmoid() * c + i.sigmoid() * g.tanh())
        return o.sigmoid() * c.tanh(), c
