"""The layer without state."""

from ..cell import Cell, Value
from ..functions import Function, function_of

__all__ = ["Linear"]


class Linear(Cell):
    """y = W x + b at every timestep, with an activation if one is given (torch.nn.Linear).

    Parameters
    ----------
    input_size, hidden_size : int
        Elements of input and output.
    activation : Function or str, optional
        Or the name of one of :mod:`~deltaloom.compiler.functions`.
    """

    def __init__(self, input_size: int, hidden_size: int, activation: Function | str | None = None):
        super().__init__(input_size, hidden_size)
        named = isinstance(activation, str)
        self.activation = function_of(activation) if named else activation  # type: ignore[arg-type]

    def step(self, x: Value) -> Value:  # type: ignore[override]
        y = self.affine("y", x)
        return y if self.activation is None else y.apply(self.activation)
