"""The golden model of stream layers. NumPy alone."""

from collections.abc import Sequence

import numpy as np

from ..compiler.fixed import Format, requantize
from ..compiler.streams import ArgMax, Concatenate, LastStep, Pool, Reverse, StreamLayer, Sum

__all__ = ["run_stream_layer"]

Array = np.ndarray


def run_stream_layer(
    layer: StreamLayer, values: Sequence[Array], formats: Sequence[Format], lengths: Array
) -> tuple[Array, Array]:
    """Output int64 (time, batch, features) and its lengths (batch,).

    ``values`` and ``formats`` are those of the layer's sources, all with the same ``lengths``;
    timesteps beyond a sequence's length mean nothing.
    """
    batch = np.arange(len(lengths))
    match layer:
        case LastStep():
            return values[0][lengths - 1, batch][None], np.ones_like(lengths)
        case Reverse():
            times = np.arange(len(values[0]))[:, None]
            return values[0][np.maximum(lengths - 1 - times, 0), batch], lengths
        case Concatenate():
            return np.concatenate(values, axis=2), lengths
        case Pool(function="max"):
            living = np.arange(len(values[0]))[:, None, None] < lengths[:, None]
            lowest = np.where(living, values[0], formats[0].min)
            return lowest.max(axis=0)[None], np.ones_like(lengths)
        case ArgMax():
            return values[0].argmax(axis=2)[:, :, None], lengths
        case Sum(format=format):
            exact = layer.exact_format(formats)
            total = sum(
                taken.astype(np.int64) << (exact.frac - source.frac)
                for taken, source in zip(values, formats, strict=True)
            )
            assert format is not None
            return requantize(np.asarray(total), exact, format), lengths
        case _:
            raise TypeError(f"Layer must be a known stream layer, not {layer!r}")
