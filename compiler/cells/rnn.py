"""The simple recurrent cell."""

from ..cell import Cell, Value, relu, tanh

__all__ = ["RNN", "ReluRNN"]


class RNN(Cell):
    """Elman network with tanh (Elman 1990; torch.nn.RNN)."""

    states = ("h",)

    def step(self, x: Value, h: Value) -> Value:  # type: ignore[override]
        return tanh(self.affine("n", x, h))


class ReluRNN(Cell):
    """Elman network with a rectifier, whose state is not bounded (torch.nn.RNN)."""

    states = ("h",)

    def step(self, x: Value, h: Value) -> Value:  # type: ignore[override]
        return relu(self.affine("n", x, h))
