"""The long short-term memory cell and its variants."""

from ..cell import Cell, Value, sigmoid, tanh

__all__ = ["LSTM", "CoupledLSTM", "PeepholeLSTM", "ProjectedLSTM"]


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


class ProjectedLSTM(Cell):
    """LSTM whose state is a projection of its output (Sak et al. 2014; torch.nn.LSTM, proj_size).

    Parameters
    ----------
    input_size, hidden_size : int
        Elements of the input and of the cell state.
    proj_size : int
        Elements of the output and of the state that is fed back.
    """

    states = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, proj_size: int):
        super().__init__(input_size, hidden_size)
        if not isinstance(proj_size, int) or proj_size < 1:
            raise ValueError(f"Projection size must be a positive integer, not {proj_size!r}")
        self.proj_size = proj_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.proj_size, self.hidden_size)

    def step(self, x: Value, h: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        i = sigmoid(self.affine("i", x, h))
        f = sigmoid(self.affine("f", x, h))
        g = tanh(self.affine("g", x, h))
        o = sigmoid(self.affine("o", x, h))
        c = f * c + i * g
        m = (o * tanh(c)).named("m")
        return self.affine("p", m, rows=self.proj_size), c
