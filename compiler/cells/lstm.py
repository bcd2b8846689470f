"""The long short-term memory cell and its variants."""

from ..cell import Cell, Value, sigmoid, tanh

__all__ = ["LSTM", "CoupledLSTM", "PeepholeLSTM"]


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


class CoupledLSTM(Cell):
    """LSTM with coupled gates, i = 1 - f (Greff et al. 2017: CIFG)."""

    states = ("h", "c")

    def step(self, x: Value, h: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        f = sigmoid(self.affine("f", x, h))
        g = tanh(self.affine("g", x, h))
        o = sigmoid(self.affine("o", x, h))
        c = g + f * (c - g)
        return o * tanh(c), c


class PeepholeLSTM(Cell):
    """LSTM whose gates see the cell state (Gers & Schmidhuber 2000; ONNX LSTM with P).

    Input and forget gate see the previous one, the output gate the new one.
    """

    states = ("h", "c")

    def step(self, x: Value, h: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        p_i, p_f, p_o = (self.constant(name, c) for name in ("p_i", "p_f", "p_o"))
        i = sigmoid(self.affine("i", x, h) + p_i * c)
        f = sigmoid(self.affine("f", x, h) + p_f * c)
        g = tanh(self.affine("g", x, h))
        c = f * c + i * g
        o = sigmoid(self.affine("o", x, h) + p_o * c)
        return o * tanh(c), c
