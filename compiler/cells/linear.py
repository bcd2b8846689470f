"""The layer without state."""

from ..cell import Cell, Value, relu, sigmoid, tanh

__all__ = ["Linear"]

ACTIVATIONS = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}


class Linear(Cell):
    """y = W x + b at every timestep, with an activation if one is named (torch.nn.Linear)."""

    def __init__(self, input_size: int, hidden_size: int, activation: str | None = None):
        super().__init__(input_size, hidden_size)
        if activation is not None and activation not in ACTIVATIONS:
            raise ValueError(
                f"Activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}"
            )
        self.activation = activation

    def step(self, x: Value) -> Value:  # type: ignore[override]
        y = self.affine("y", x)
        return y if self.activation is None else ACTIVATIONS[self.activation](y)
