"""The simple recurrent unit."""

from ..cell import Cell, Value, relu, sigmoid, tanh

__all__ = ["SRU"]

ACTIVATIONS = {"identity": lambda value: value, "relu": relu, "tanh": tanh}


class SRU(Cell):
    """Simple recurrent unit (Lei et al. 2018): no recurrent matrix, so all products are ahead.

    Both gates see the previous c. Where input and output have one size, the highway is the input
    itself, times a constant ``a`` if it is scaled; else it is a projection.

    Parameters
    ----------
    input_size, hidden_size : int
        Elements of input and output.
    activation : str
        Of c on its way to the output: ``identity``, ``relu`` or ``tanh``.
    scaled : bool
        Whether there is a constant ``a``.
    """

    states = ("c",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activation: str = "identity",
        scaled: bool = False,
    ):
        super().__init__(input_size, hidden_size)
        if activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"Activation must be one of {known}, not {activation!r}")
        if scaled and input_size != hidden_size:
            raise ValueError("Scaled must be False where the highway is a projection, not True")
        self.activation = activation
        self.scaled = scaled

    def step(self, x: Value, c: Value) -> tuple[Value, Value]:  # type: ignore[override]
        u = self.affine("u", x)
        f = sigmoid(self.affine("f", x) + self.constant("v_f", c) * c)
        r = sigmoid(self.affine("r", x) + self.constant("v_r", c) * c)
        c = u + f * (c - u)
        if self.input_size != self.hidden_size:
            x = self.affine("k", x)
        elif self.scaled:
            x = self.constant("a", x) * x
        return x + r * (ACTIVATIONS[self.activation](c) - x), c
