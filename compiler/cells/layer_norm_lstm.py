"""The long short-term memory with layer normalisation."""

from ..cell import Cell, Value, sigmoid, tanh
from ..layer_norm import layer_norm

__all__ = ["LayerNormLSTM"]


class LayerNormLSTM(Cell):
    """LSTM whose products and cell state are normalised (Ba et al. 2016; torch's fastrnns).

    All four gates are normalised together, the products with the input apart from those with the
    state; the normalised cell state is carried.

    Parameters
    ----------
    input_size, hidden_size : int
        Elements of input and states.
    form : str
        ``variance``, or ``mad`` for the mean absolute deviation (Sari et al. 2021).
    epsilon : float
        Added to the variance, or to the mean absolute deviation.
    """

    states = ("h", "c")

    def __init__(
        self, input_size: int, hidden_size: int, form: str = "variance", epsilon: float = 1e-5
    ):
        super().__init__(input_size, hidden_size)
        self.form = form
        self.epsilon = epsilon

    def normalise(self, name: str, *values: Value) -> list[Value]:
        return layer_norm(values, self.constant, name, self.form, self.epsilon)

    def step(self, x: Value, h: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        of_x = self.normalise("norm_x", *(self.affine(f"{gate}_x", x) for gate in "ifgo"))
        of_h = self.normalise("norm_h", *(self.affine(f"{gate}_h", h) for gate in "ifgo"))
        i, f, g, o = (a + b for a, b in zip(of_x, of_h, strict=True))
        (c,) = self.normalise("norm_c", sigmoid(f) * c + sigmoid(i) * tanh(g))
        return sigmoid(o) * tanh(c), c
