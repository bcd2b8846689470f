"""The long short-term memory cell."""

from ..cell import Cell, Value, sigmoid, tanh

__all__ = ["LSTM"]


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; torch.nn.LSTM)."""

    states = ("h", "c")

    def step(self, x: Value, h: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        i = sigmoid(self.affine("i", x, h))
        f = sigmoid(self.affine("f", x, h))
        g = tanh(self.affine("g", x, h))
        o = sigmoid(self.affine("o", x, h))
        c = f * c + i * g
        return o * tanh(c), c
