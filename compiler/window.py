"""Windows of timesteps: the front end of a one-dimensional convolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import DeltaloomError
from .stream_layer import MAX_STEPS, StreamLayer, is_count, require

__all__ = ["Window"]


@dataclass(frozen=True)
class Window(StreamLayer):
    """Vectors of several timesteps side by side, the oldest first; before a Linear, a Conv1d.

    Output n holds the timesteps ``n * stride - padding[0] + dilation * (0, 1, ... kernel - 1)``,
    zero where there are none; their number is
    ``(time + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1``. A sequence that is too
    short for one is refused; hardware raises the error flag and gives a single window, as if
    zeros followed, so that streams which join keep in step.

    Parameters
    ----------
    kernel, stride, dilation : int
        As ``torch.nn.Conv1d`` has them.
    padding : tuple of int
        Timesteps of zeros before and after a sequence.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)

    @property
    def span(self) -> int:
        """Timesteps from a window's first one to its last one."""
        return self.dilation * (self.kernel - 1)

    @property
    def lost(self) -> int:
        """How many timesteps fewer than it takes a layer with a stride of 1 gives."""
        return self.span - sum(self.padding)

    @property
    def ahead(self) -> int:
        """Output n needs the input up to timestep ``n * stride + ahead``, or up to its end.

        Either a timestep that it shows, or the one that tells whether another output follows.
        """
        return self.span - self.padding[0] + max(0, self.stride - 1 - self.padding[1])

    @property
    def held(self) -> int:
        """Timesteps that hardware keeps: those that an output needs, and one more at least."""
        return self.span + 1 + self.stride

    def check(self) -> None:
        for what in ("kernel", "stride", "dilation"):
            value = getattr(self, what)
            require(
                is_count(value, 1, MAX_STEPS),
                f"Layer {self.name} must have a {what} from 1 to {MAX_STEPS}, not {value!r}",
            )
        require(
            len(self.padding) == 2 and all(is_count(n, 0, self.span) for n in self.padding),
            f"Layer {self.name} must have a padding (left, right) of at most {self.span} timesteps "
            f"each, not {self.padding!r}",
        )

    def places(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Timesteps that each output shows, (outputs, kernel), and outputs by sequence, (batch,).

        Those before a sequence or behind its end are zeros.

        Raises
        ------
        DeltaloomError
            If a sequence is too short for one output.
        """
        outputs = (lengths - self.lost - 1) // self.stride + 1
        if outputs.min() < 1:
            raise DeltaloomError(
                f"Layer {self.name} must get sequences of at least {self.lost + 1} timesteps, "
                f"not {lengths.min()}"
            )
        first = np.arange(outputs.max())[:, None] * self.stride - self.padding[0]
        return first + self.dilation * np.arange(self.kernel), outputs

    def output_size(self, sizes: Sequence[int]) -> int:
        return self.kernel * sizes[0]
