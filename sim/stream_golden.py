"""The golden model of stream layers. NumPy alone."""

from collections.abc import Sequence

import numpy as np

from ..compiler.fixed import Format, requantize
from ..compiler.streams import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Pool,
    Reverse,
    StreamLayer,
    Sum,
    Window,
)

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
            lowest = np.where(_living(values[0], lengths), values[0], formats[0].min)
            return lowest.max(axis=0)[None], np.ones_like(lengths)
        case Pool():
            sums = np.where(_living(values[0], lengths), values[0], 0).sum(axis=0)
            return layer.mean(sums, lengths[:, None], formats[0])[None], np.ones_like(lengths)
        case Window():
            return _windows(layer, values[0], lengths)
        case Embedding():
            layer.check_indices(values[0], lengths)
            return layer.table[np.clip(values[0][:, :, 0], 0, layer.entries - 1)], lengths
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


def _living(values: Array, lengths: Array) -> Array:
    """Bool (time, batch, 1): which vectors are within their sequences."""
    living: Array = np.arange(len(values))[:, None, None] < lengths[:, None]
    return living


def _windows(layer: Window, values: Array, lengths: Array) -> tuple[Array, Array]:
    places, outputs = layer.places(lengths)
    batch = np.arange(len(lengths))[:, None]
    shown = values[np.clip(places, 0, len(values) - 1)[:, None], batch]  # (time, batch, kernel, .)
    inside = (places >= 0)[:, None] & (places[:, None] < lengths[:, None])
    shown = np.where(inside[..., None], shown, 0)
    return shown.reshape(len(places), len(lengths), -1), outputs
