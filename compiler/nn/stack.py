"""Layers, directions and dropout around a cell's equations, with torch's conventions."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["RecurrentStack"]


class RecurrentStack(nn.Module):
    """Layers of one cell; called and configured as ``torch.nn.LSTM`` and ``torch.nn.GRU`` are.

    A subclass states its gates and states and gives ``step``. ``weight_ih_l0`` has one block of
    ``hidden_size`` rows for each gate, in the order of ``gates``; so have ``weight_hh_l0``,
    ``bias_ih_l0`` and ``bias_hh_l0``. The products with the input are computed for all
    timesteps at once.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of ``torch.nn.GRU``.

    Raises
    ------
    ValueError
        If a size is not positive or the dropout is not a probability.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]] = ("h",)
    element_axes: ClassVar[int] = 1
    """Axes of a timestep: those of a vector, or of a frame."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be positive, not {size}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be between 0 and 1, not {dropout}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        for layer in range(num_layers):
            width = input_size if not layer else hidden_size * len(self.directions)
            for direction in self.directions:
                self.add_parameters(f"l{layer}{direction}", width)
        self.reset_parameters()

    @property
    def directions(self) -> tuple[str, ...]:
        """Suffix of the parameters of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def add_parameters(self, suffix: str, width: int) -> None:
        """Make the parameters of one layer and direction whose input has ``width`` features."""
        rows = len(self.gates) * self.hidden_size
        self.register_parameter(f"weight_ih_{suffix}", nn.Parameter(torch.empty(rows, width)))
        hidden = torch.empty(rows, self.hidden_size)
        self.register_parameter(f"weight_hh_{suffix}", nn.Parameter(hidden))
        if self.bias:
            for name in ("bias_ih", "bias_hh"):
                self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(rows)))

    def reset_parameters(self) -> None:
        """Draw all parameters as torch does, uniform within 1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        for name, default in (defaults | {"bidirectional": False}).items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    def parameter(self, name: str, suffix: str) -> Any:
        """A parameter of one layer and direction, None where there is none."""
        return getattr(self, f"{name}_{suffix}", None)

    def input_products(self, x: Tensor, suffix: str) -> Tensor:
        """Products with the input of all timesteps, ``(time, batch, rows)``."""
        weight, bias = self.parameter("weight_ih", suffix), self.parameter("bias_ih", suffix)
        return functional.linear(x, weight, bias)

    def step(self, u: Tensor, state: tuple[Tensor, ...], suffix: str) -> tuple[Tensor, ...]:
        """The next states, h first, from one timestep's input products and the states."""
        raise NotImplementedError

    def advance(
        self, u: Tensor, state: tuple[Tensor, ...], suffix: str
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Output and next states; a cell whose output is not its first state overrides it."""
        state = self.step(u, state, suffix)
        return state[0], state

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Output of every timestep and the last states, shaped as those of ``torch.nn.GRU``."""
        self.check_input(x)
        batched = x.dim() == self.element_axes + 2
        batch_axis = 0 if self.batch_first else 1
        x = x if batched else x.unsqueeze(1)
        x = x.transpose(0, 1) if batched and self.batch_first else x
        starts = self._starts(x, state, batched)
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self.directions:
                start = tuple(values[len(last)] for values in starts)
                output, end = self._run(x, start, f"l{layer}{direction}", bool(direction))
                outputs.append(output)
                last.append(end)
            x = torch.cat(outputs, dim=-self.element_axes)
            if self.dropout and layer < self.num_layers - 1:
                x = functional.dropout(x, self.dropout, self.training)
        x = (x.transpose(0, 1) if not batch_axis else x) if batched else x.squeeze(1)
        ends = tuple(torch.stack(values) for values in zip(*last, strict=True))
        ends = ends if batched else tuple(values.squeeze(1) for values in ends)
        return x, ends if len(ends) > 1 else ends[0]

    def check_input(self, x: Tensor) -> None:
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"Input must have 2 or 3 axes and {self.input_size} features, "
                f"not shape {tuple(x.shape)}"
            )

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Of a state of one sequence."""
        return (self.hidden_size,)

    def _starts(self, x: Tensor, state: Any, batched: bool) -> tuple[Tensor, ...]:
        layers = self.num_layers * len(self.directions)
        shape = (layers, x.shape[1], *self.state_shape)
        if state is None:
            return (x.new_zeros(shape),) * len(self.states)
        given = tuple(state) if len(self.states) > 1 else (state,)
        given = given if batched else tuple(values.unsqueeze(1) for values in given)
        shapes = [tuple(values.shape) for values in given]
        if shapes != [shape] * len(self.states):
            raise ValueError(f"State must be {len(self.states)} of shape {shape}, not {shapes}")
        return given

    def _run(
        self, x: Tensor, state: tuple[Tensor, ...], suffix: str, backward: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        products = self.input_products(x, suffix).unbind(0)
        outputs = []
        for u in reversed(products) if backward else products:
            output, state = self.advance(u, state, suffix)
            outputs.append(output)
        return torch.stack(outputs[::-1] if backward else outputs), state
