"""The long short-term memory over frames."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..convolution import Convolution, convolution
from .stack import RecurrentStack

__all__ = ["ConvLSTM"]


class ConvLSTM(RecurrentStack):
    """LSTM with both products convolutions with stride 1 (Shi et al. 2015); rows i, f, g, o.

    Input and output are (time, batch, channels, rows, columns), or (batch, time, channels, rows,
    columns) with ``batch_first``; so are, without time but with layers in front, the states h and
    c. ``weight_ih_l0`` is (4 * hidden_channels, channels, *kernel_size), ``weight_hh_l0``
    (4 * hidden_channels, hidden_channels, *state_kernel_size), and ``weight_ph_l0``, the peepholes
    of i, f and o, (3, hidden_channels, rows, columns). Input and forget gate see the previous cell
    state, the output gate the new one.

    Parameters
    ----------
    input_channels, hidden_channels : int
        Of a pixel of the input and of the states.
    grid : tuple of int
        Rows and columns of the input's frames.
    kernel_size : int or tuple of int
        Taps of the input's convolution.
    num_layers, bias, batch_first, dropout
        As of ``torch.nn.LSTM``. With several layers the padding has to keep the grid.
    padding, dilation : int, tuple of int or str
        Of the input's convolution, as of ``torch.nn.Conv2d``; ``"same"`` keeps the grid, with an
        odd zero below and on the right.
    state_kernel_size : int or tuple of int, optional
        Taps of the states' convolution, which keeps the grid; left out: ``kernel_size``.
    peepholes : bool
        Whether gates see the cell state.

    Raises
    ------
    ValueError
        For sizes that are not positive, a kernel that does not fit the grid, or several layers on
        frames that shrink or grow.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    element_axes = 3

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        grid: tuple[int, int],
        kernel_size: Any,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        padding: Any = "same",
        dilation: Any = 1,
        state_kernel_size: Any = None,
        peepholes: bool = False,
    ):
        self.of_input: Convolution = convolution(grid, kernel_size, padding, dilation)
        own = kernel_size if state_kernel_size is None else state_kernel_size
        self.of_state: Convolution = convolution(self.of_input.outputs, own)
        if num_layers > 1 and self.of_input.outputs != self.of_input.grid:
            raise ValueError(
                f"padding must keep the grid where there are {num_layers} layers, not make "
                f"{self.of_input.outputs} of {self.of_input.grid}"
            )
        self.padding = padding
        self.peepholes = peepholes
        super().__init__(input_channels, hidden_channels, num_layers, bias, batch_first, dropout)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (self.hidden_size, *self.of_input.outputs)

    def add_parameters(self, suffix: str, width: int) -> None:
        rows = len(self.gates) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width, *self.of_input.kernel),
            "weight_hh": (rows, self.hidden_size, *self.of_state.kernel),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.peepholes:
            shapes["weight_ph"] = (3, *self.state_shape)
        for name, shape in shapes.items():
            self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(shape)))

    def check_input(self, x: Tensor) -> None:
        shape = (self.input_size, *self.of_input.grid)
        if x.dim() not in (4, 5) or tuple(x.shape[-3:]) != shape:
            raise ValueError(
                f"Input must have 4 or 5 axes, the last of them {shape}, not shape {tuple(x.shape)}"
            )

    def input_products(self, x: Tensor, suffix: str) -> Tensor:
        """Products with the frames of all timesteps, ``(time, batch, channels, rows, columns)``."""
        weight, bias = self.parameter("weight_ih", suffix), self.parameter("bias_ih", suffix)
        products = convolve(self.of_input, x.flatten(0, 1), weight, bias)
        return products.unflatten(0, x.shape[:2])

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        h, c = state
        weight, bias = self.parameter("weight_hh", suffix), self.parameter("bias_hh", suffix)
        i, f, g, o = (u + convolve(self.of_state, h, weight, bias)).chunk(4, -3)
        p_i, p_f, p_o = self.parameter("weight_ph", suffix) if self.peepholes else (0.0,) * 3
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, grid={self.of_input.grid}, "
            f"kernel_size={self.of_input.kernel}, peepholes={self.peepholes}"
        )


def convolve(geometry: Convolution, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of frames (batch, channels, rows, columns)."""
    (top, left), (bottom, right) = geometry.before, geometry.after
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, weight, bias, dilation=geometry.dilation)
