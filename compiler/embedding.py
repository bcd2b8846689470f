"""Rows of a table, chosen by an index."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import DeltaloomError
from .fixed import Format, width_for
from .stream_layer import StreamLayer, require

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding(StreamLayer):
    """A row of a table for each timestep; takes one feature, the integer index.

    An index that is not in the table is refused; in hardware it raises the error flag, and the
    row is zero.

    Parameters
    ----------
    table : numpy.ndarray
        (entries, features): float64, or int64 in integers.
    format : Format, optional
        Of the table's integers.
    """

    table: np.ndarray
    format: Format | None = None

    @property
    def entries(self) -> int:
        return len(self.table)

    @property
    def index_format(self) -> Format:
        """The narrowest format that holds every index."""
        return Format(width_for(0, self.entries - 1), 0)

    def check(self) -> None:
        require(
            self.table.ndim == 2 and self.table.size > 0,
            f"Layer {self.name} must have a table of shape (entries, features), "
            f"not {self.table.shape}",
        )
        require(
            bool(np.all(np.isfinite(self.table))),
            f"Table of layer {self.name} must be finite; it holds NaN or infinity",
        )

    def check_indices(self, indices: np.ndarray, lengths: np.ndarray) -> None:
        """Raise DeltaloomError unless all of (time, batch, 1) within (batch,) are in the table."""
        living = np.arange(len(indices))[:, None, None] < lengths[:, None]
        wrong = ((indices < 0) | (indices >= self.entries)) & living
        if wrong.any():
            raise DeltaloomError(
                f"Layer {self.name} must get indices from 0 to {self.entries - 1}, "
                f"not {indices[wrong][0]}"
            )

    def output_size(self, sizes: Sequence[int]) -> int:
        require(
            sizes[0] == 1,
            f"Layer {self.name} must take one feature, an index, not {sizes[0]}",
        )
        return int(self.table.shape[1])

    def output_format(self, formats: Sequence[Format]) -> Format:
        require(self.format is not None, f"Layer {self.name} must have a format")
        assert self.format is not None
        require(
            formats[0].frac == 0,
            f"Layer {self.name} must take whole numbers, not elements of {formats[0]}",
        )
        require(
            self.table.dtype == np.int64 and self.format.holds(self.table),
            f"Table of layer {self.name} must hold integers of {self.format}",
        )
        return self.format
