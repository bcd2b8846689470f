"""Two-dimensional convolutions: which elements of a frame a pixel's window holds.

A frame is a vector of pixels, row after row, with the channels of a pixel next to each other.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .errors import UnsupportedError

__all__ = ["Convolution", "convolution", "frames", "pixel_vectors"]


@dataclass(frozen=True)
class Convolution:
    """A convolution with stride 1 and a frame padded with zeros (torch.nn.Conv2d).

    Every pair is of rows and columns.

    Parameters
    ----------
    grid : tuple of int
        Pixels of the operand's frame.
    kernel : tuple of int
        Taps.
    before, after : tuple of int
        Zeros above and left of the frame, and below and right of it.
    dilation : tuple of int
        Distance from tap to tap.
    """

    grid: tuple[int, int]
    kernel: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    @property
    def outputs(self) -> tuple[int, int]:
        """Pixels of the result, rows and columns; less than 1 where the kernel does not fit."""
        rows, columns = (
            grid + before + after - dilation * (kernel - 1)
            for grid, before, after, dilation, kernel in zip(
                self.grid, self.before, self.after, self.dilation, self.kernel, strict=True
            )
        )
        return rows, columns

    @property
    def pixels(self) -> int:
        """Pixels of the result."""
        return self.outputs[0] * self.outputs[1]

    @property
    def frame(self) -> int:
        """Pixels of the operand's frame."""
        return self.grid[0] * self.grid[1]

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def matched(self) -> int:
        """Taps of all windows that see a pixel and not a zero."""
        return int((self.sources(0) >= 0).sum()) * int((self.sources(1) >= 0).sum())

    def sources(self, axis: int) -> np.ndarray:
        """Row (axis 0) or column (1) that each tap sees; int64 (outputs, kernel), -1 for a zero."""
        found = (
            np.arange(self.outputs[axis])[:, None]
            + np.arange(self.kernel[axis]) * self.dilation[axis]
            - self.before[axis]
        )
        return np.where((found >= 0) & (found < self.grid[axis]), found, -1)

    def elements(self, channels: int) -> np.ndarray:
        """Each window's elements; int64 (pixels, taps * channels), the frame's size for a zero.

        Taps come row after row, the channels of a tap next to each other.
        """
        return _elements(self, channels)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Windows (..., pixels, taps * channels) of frames (..., size)."""
        elements = self.elements(values.shape[-1] // self.frame)
        nothing = np.zeros((*values.shape[:-1], 1), dtype=values.dtype)
        found: np.ndarray = np.concatenate([values, nothing], axis=-1)[..., elements]
        return found

    def scatter(self, windows: np.ndarray) -> np.ndarray:
        """The transpose of :meth:`gather`: frames (..., size), each element the sum of its copies.

        ``windows`` is (..., pixels, taps * channels).
        """
        elements = self.elements(windows.shape[-1] // self.taps)
        size = self.frame * (windows.shape[-1] // self.taps)
        frames = np.zeros((*windows.shape[:-2], size + 1), dtype=windows.dtype)
        for column in range(elements.shape[1]):  # a column's elements differ, but for the zeros
            frames[..., elements[:, column]] += windows[..., column]
        return frames[..., :size]


@lru_cache(maxsize=16)
def _elements(convolution: Convolution, channels: int) -> np.ndarray:
    rows, columns = convolution.sources(0)[:, None, :, None], convolution.sources(1)[:, None, :]
    pixel = rows * convolution.grid[1] + columns
    first = np.where((rows < 0) | (columns < 0), convolution.frame, pixel) * channels
    found = first[..., None] + np.arange(channels)
    size = convolution.frame * channels
    return np.minimum(found, size).reshape(convolution.pixels, convolution.taps * channels)


def pair(what: str, value: Any, least: int) -> tuple[int, int]:
    """An integer for rows and columns both, or one for each."""
    both = (value, value) if isinstance(value, int) else value
    sound = (
        isinstance(both, tuple | list)
        and len(both) == 2
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in both)
    )
    if not sound or isinstance(value, bool):
        raise ValueError(f"{what} must be an integer of at least {least} or two, not {value!r}")
    return both[0], both[1]


def convolution(
    grid: Any, kernel: Any, padding: Any = "same", dilation: Any = 1, *, stride: Any = 1
) -> Convolution:
    """A convolution in the terms of torch.nn.Conv2d.

    Parameters
    ----------
    grid : tuple of int
        Rows and columns of the frame.
    kernel, dilation : int or tuple of int
        Taps and their distance.
    padding : int, tuple of int or str
        Zeros on each side; ``"same"`` keeps the grid, with the odd zero below and on the right;
        ``"valid"`` is none.
    stride : int or tuple of int
        1; anything else is refused.
    """
    grid, kernel = pair("Grid", grid, 1), pair("Kernel", kernel, 1)
    dilation = pair("Dilation", dilation, 1)
    if pair("Stride", stride, 1) != (1, 1):
        raise UnsupportedError(f"Stride must be 1, not {stride!r}: no other is supported")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if padding == "same":
        before = (total[0] // 2, total[1] // 2)
        after = (total[0] - before[0], total[1] - before[1])
    elif isinstance(padding, str) and padding != "valid":
        raise ValueError(f"Padding must be 'same', 'valid' or integers, not {padding!r}")
    else:
        before = after = (0, 0) if padding == "valid" else pair("Padding", padding, 0)
    found = Convolution(grid, kernel, before, after, dilation)
    if min(found.outputs) < 1:
        raise ValueError(
            f"Kernel must fit the padded grid: one of {kernel} with a dilation of {dilation} "
            f"leaves nothing of {grid} with {before} and {after} zeros around it"
        )
    return found


def pixel_vectors(frames: Any) -> Any:
    """Frames (..., channels, rows, columns), NumPy or torch, as vectors (..., features).

    A vector has the pixels row after row, with the channels of a pixel next to each other: the
    order of a :class:`Convolution`'s frame.
    """
    channels, rows, columns = frames.shape[-3:]
    moved = frames.swapaxes(-3, -2).swapaxes(-2, -1)
    return moved.reshape(*frames.shape[:-3], rows * columns * channels)


def frames(vectors: Any, grid: tuple[int, int]) -> Any:
    """What :func:`pixel_vectors` made: (..., features) as (..., channels, rows, columns)."""
    rows, columns = grid
    channels, rest = divmod(vectors.shape[-1], rows * columns)
    if rest:
        raise ValueError(
            f"Vectors must have a multiple of {rows * columns} elements, not {vectors.shape[-1]}"
        )
    parted = vectors.reshape(*vectors.shape[:-1], rows, columns, channels)
    return parted.swapaxes(-2, -1).swapaxes(-3, -2)
