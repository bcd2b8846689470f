"""How the products of any cell become convolutions."""

from dataclasses import replace
from typing import Any

from .cell import Cell, Value
from .convolution import convolution
from .graph import Affine, Path

__all__ = ["ConvolutionalCell"]


class ConvolutionalCell(Cell):
    """A cell whose vectors are frames; to be mixed in before the cell with the equations.

    The input's convolution gives the grid of the states, and the states' convolution keeps it.

    Parameters
    ----------
    channels, hidden_channels : int
        Of a pixel of the input and of the states.
    grid : tuple of int
        Rows and columns of the input's frame.
    kernel : int or tuple of int
        Taps of the input's convolution.
    padding, dilation : int, tuple of int or str
        Of the input's convolution, as :func:`~deltaloom.compiler.convolution.convolution` has
        them.
    state_kernel : int or tuple of int, optional
        Taps of the states' convolution; as many as the input's if left out.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        grid: tuple[int, int],
        kernel: Any,
        padding: Any = "same",
        dilation: Any = 1,
        state_kernel: Any = None,
    ):
        self.of_input = convolution(grid, kernel, padding, dilation)
        state_kernel = kernel if state_kernel is None else state_kernel
        self.of_state = convolution(self.of_input.outputs, state_kernel)
        for what, size in (("Channels", channels), ("Hidden channels", hidden_channels)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{what} must be a positive integer, not {size!r}")
        super().__init__(channels * self.of_input.frame, hidden_channels * self.of_input.pixels)

    def affine(self, name: str, *operands: Value, rows: int | None = None) -> Value:
        """Sum of a convolution of each operand, and a bias, at every pixel."""
        value = super().affine(name, *operands, rows=rows)
        node = value.node
        assert isinstance(node, Affine)
        paths = tuple(self._convolve(path) for path in node.paths)
        value._tracer.nodes[value.position] = replace(node, paths=paths)
        return value

    def _convolve(self, path: Path) -> Path:
        return replace(path, convolution=self.of_state if path.operand else self.of_input)
