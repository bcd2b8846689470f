"""The gated recurrent unit, in both of its forms."""

from ..cell import Cell, Value, sigmoid, tanh

__all__ = ["GRU", "ResetBeforeGRU"]


class GRU(Cell):
    """Gated recurrent unit, reset-after form (Cho et al. 2014; torch.nn.GRU)."""

    states = ("h",)

    def step(self, x: Value, h: Value) -> Value:  # type: ignore[override]
        r = sigmoid(self.affine("r", x, h))
        z = sigmoid(self.affine("z", x, h))
        n = tanh(self.affine("n_x", x) + r * self.affine("n_h", h))
        return n + z * (h - n)


class ResetBeforeGRU(Cell):
    """Gated recurrent unit, reset-before form (Cho et al. 2014; ONNX linear_before_reset=0).

    The reset gate precedes the product, which therefore has to wait for it.
    """

    states = ("h",)

    def step(self, x: Value, h: Value) -> Value:  # type: ignore[override]
        r = sigmoid(self.affine("r", x, h))
        z = sigmoid(self.affine("z", x, h))
        n = tanh(self.affine("n", x, (r * h).named("rh")))
        return n + z * (h - n)
