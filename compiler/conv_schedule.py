"""How a convolutional layer walks its windows.

A list holds a frame's entries in the order of its pixels, so the pixels of a window that lie next
to each other in a row are one *span* of the list, and the column of an entry in the weights is its
place in the frame plus a constant of the span. A window is a span for each row of taps; for each
tap where taps are apart.
"""

from dataclasses import dataclass

import numpy as np

from .integer import IntegerLayer, Operand

__all__ = [
    "CLOSE_LATENCY",
    "PASSES_AHEAD",
    "SPAN_LATENCY",
    "Spans",
    "spans_ahead",
]

SPAN_LATENCY = 5  # span asked for to span known: tables, places, list ends, length
CLOSE_LATENCY = 1  # of a pass: its last span is known as such
PASSES_AHEAD = 4  # passes whose spans are asked for before the lanes are done with the first


@dataclass(frozen=True)
class Spans:
    """The spans of every window of an operand; a window has ``rows.shape[1] * columns.shape[1]``.

    Parameters
    ----------
    rows : numpy.ndarray
        Int64 (rows, taps down, 3): whether there is such a row, its first pixel, and what it adds
        to the columns of its entries.
    columns : numpy.ndarray
        Int64 (columns, spans a row, 4): whether there is such a span, its first and last pixel in
        the row, and what it adds to the columns of its entries.
    last : tuple of numpy.ndarray
        For each row and column of windows: of the frame's last pixel that a window there, or the
        pixel itself, needs, first pixel of the row and place within the row; int64.
    """

    rows: np.ndarray
    columns: np.ndarray
    last: tuple[np.ndarray, np.ndarray]

    @property
    def count(self) -> int:
        """Spans of a window."""
        return self.rows.shape[1] * self.columns.shape[1]

    @classmethod
    def of(cls, operand: Operand) -> "Spans":
        convolution, channels = operand.convolution, operand.channels
        assert convolution is not None
        width, taps = convolution.grid[1], convolution.kernel[1]
        row, column = convolution.sources(0), convolution.sources(1)
        down = np.arange(convolution.kernel[0]) * taps
        rows = np.stack([row >= 0, row * width, (down - row * width) * channels], axis=-1)
        if convolution.dilation[1] == 1 or taps == 1:
            left = np.arange(len(column))[:, None] - convolution.before[1]
            right = np.minimum(left + taps, width) - 1
            there = (right >= 0) & (left < width)
            columns = np.stack([there, np.maximum(left, 0), right, -left * channels], axis=-1)
        else:
            across = (np.arange(taps) - column) * channels
            columns = np.stack([column >= 0, column, column, across], axis=-1)
        last_row = np.maximum(row.max(axis=1), np.arange(len(row)))
        last_column = np.maximum(column.max(axis=1), np.arange(len(column)))
        return cls(
            rows * rows[..., :1], columns * columns[..., :1], (last_row * width, last_column)
        )

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """First pixel, and the one behind the last, of each span; int64 (pixels, spans).

        Those of a span that is not there are equal.
        """
        rows, columns = self.rows[:, None, :, None], self.columns[None, :, None, :]
        there = (rows[..., 0] * columns[..., 0]).astype(bool)
        first = np.where(there, rows[..., 1] + columns[..., 1], 0)
        behind = np.where(there, rows[..., 1] + columns[..., 2] + 1, 0)
        return first.reshape(-1, self.count), behind.reshape(-1, self.count)

    def needed(self) -> np.ndarray:
        """How many pixels of the frame have to be there for each window; int64 (pixels,)."""
        return (self.last[0][:, None] + self.last[1] + 1).reshape(-1)


def spans_ahead(layer: IntegerLayer) -> int:
    """Spans that may wait for the lanes."""
    return PASSES_AHEAD * sum(Spans.of(operand).count for operand in layer.operands)
