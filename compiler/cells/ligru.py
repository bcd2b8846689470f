"""The light gated recurrent unit."""

from ..cell import Cell, Value, relu, sigmoid

__all__ = ["LiGRU"]


class LiGRU(Cell):
    """Light gated recurrent unit (Ravanelli et al. 2018): no reset gate, a rectified candidate.

    Batch normalisation of the input's products is folded into their weights and biases. The state
    is not bounded: its range comes from calibration, and what exceeds it saturates.
    """

    states = ("h",)

    def step(self, x: Value, h: Value) -> Value:  # type: ignore[override]
        z = sigmoid(self.affine("z", x, h))
        n = relu(self.affine("n", x, h))
        return n + z * (h - n)
