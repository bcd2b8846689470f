"""The simple recurrent unit."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stack import RecurrentStack

__all__ = ["SRU"]

ACTIVATIONS = {"identity": lambda c: c, "relu": torch.relu, "tanh": torch.tanh}


class SRU(RecurrentStack):
    """Simple recurrent unit (Lei et al. 2018; asappresearch/sru).

    ``weight_ih_l0`` has rows u, f, r, and where input and output differ in size k, the highway's
    projection; ``weight_c_l0`` (2, hidden_size) is v_f and v_r, ``bias_l0`` (2 * hidden_size,)
    the biases of f and r. Its state is c alone.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of ``torch.nn.GRU``.
    activation : str
        Of c on its way to the output: ``identity``, ``relu`` or ``tanh``.
    rescale : bool
        Whether a highway that is the input is scaled by sqrt(1 + 2 exp(highway_bias)).
    highway_bias : float
        What the bias of r starts from.
    """

    gates = ("u", "f", "r")
    states = ("c",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        activation: str = "identity",
        rescale: bool = False,
        highway_bias: float = 0.0,
    ):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation}"
            )
        self.activation = activation
        self.rescale = rescale
        self.highway_bias = highway_bias
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        )

    @property
    def scale(self) -> float:
        """What a highway that is the input is multiplied with."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    def add_parameters(self, suffix: str, width: int) -> None:
        size = self.hidden_size
        rows = size * (3 if width == size else 4)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_c": (2, size)}
        if self.bias:
            shapes["bias"] = (2 * size,)
        for name, shape in shapes.items():
            self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(shape)))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, values in self.named_parameters():
            if name.startswith("bias"):
                with torch.no_grad():
                    values[: self.hidden_size] = 0
                    values[self.hidden_size :] = self.highway_bias

    def input_products(self, x: Tensor, suffix: str) -> Tensor:
        """Products u, f and r with their biases, and the highway: ``(time, batch, rows)``."""
        size = self.hidden_size
        weight, bias = self.parameter("weight_ih", suffix), self.parameter("bias", suffix)
        products = functional.linear(x, weight)
        if bias is not None:
            products = products + functional.pad(bias, (size, weight.shape[0] - 3 * size))
        return products if weight.shape[0] > 3 * size else torch.cat([products, self.scale * x], -1)

    def advance(
        self, u: Tensor, state: tuple[Tensor, ...], suffix: str
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        (c,) = state
        v_f, v_r = self.parameter("weight_c", suffix)
        u, f, r, highway = u.chunk(4, -1)
        f, r = (f + v_f * c).sigmoid(), (r + v_r * c).sigmoid()
        c = f * c + (1 - f) * u
        return r * ACTIVATIONS[self.activation](c) + (1 - r) * highway, (c,)
