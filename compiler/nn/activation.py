"""A user's own element-wise function as a module."""

from collections.abc import Callable

from torch import Tensor, nn

from ..functions import FAMILIES

__all__ = ["Activation"]


class Activation(nn.Module):
    """``function`` of every element; in hardware a piecewise-linear table of it.

    Parameters
    ----------
    function : callable
        From a float tensor to one of the same shape, each element of which depends on the one
        in its place alone; finite within the ranges that calibration finds.
    name : str
        What the function is called in summaries and model files: an identifier, and none of
        Deltaloom's own functions.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], name: str):
        super().__init__()
        if not callable(function):
            raise TypeError(f"Function must be callable, not {type(function).__name__}")
        if not isinstance(name, str) or not name.isidentifier() or len(name) > 60:
            raise ValueError(f"Name must be an identifier of at most 60 characters, not {name!r}")
        if name in FAMILIES:
            raise ValueError(f"Name must not be that of a function of Deltaloom, {name!r}")
        self.function = function
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name
