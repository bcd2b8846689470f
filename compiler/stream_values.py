"""What stream layers compute in float."""

from collections.abc import Sequence

import numpy as np

from .attention import Attention, attend, steps_too_many
from .errors import DeltaloomError
from .layout import Layout
from .streams import (
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
from .wiring import Length

__all__ = ["check_indices", "evaluate_attention", "evaluate_stream_layer", "window_places"]


def evaluate_stream_layer(
    layer: StreamLayer, values: Sequence[np.ndarray], layout: Layout
) -> tuple[np.ndarray, Layout]:
    """Rows of a layer's output and their layout, from those of its sources, which share one."""
    match layer:
        case Concatenate():
            return np.concatenate(values, axis=1), layout
        case Sum():
            return np.sum(values, axis=0), layout
        case Embedding():
            what = f"Layer {layer.name}"
            return layer.table[check_indices(what, values[0], layer.entries)[:, 0]], layout
        case ArgMax():
            return values[0].argmax(axis=1)[:, None].astype(np.float64), layout
    rows = layout.in_order(values[0])
    lengths = layout.ends - layout.starts
    match layer:
        case Reverse():
            check_steps(layer, lengths)
            mirrored = np.repeat(layout.starts + layout.ends - 1, lengths) - np.arange(len(rows))
            return rows[mirrored][layout.source], layout
        case Window():
            return _windows(layer, rows, layout)
        case LastStep():
            found = rows[layout.ends - 1]
        case Pool(function="max"):
            found = np.maximum.reduceat(rows, layout.starts)
        case Pool():
            check_steps(layer, lengths)
            found = np.add.reduceat(rows, layout.starts) / lengths[:, None]
        case _:
            raise TypeError(f"Layer must be a known stream layer, not {layer!r}")
    return found, Layout.of([1] * len(lengths))


def evaluate_attention(
    layer: Attention, sources: Sequence[tuple[np.ndarray, Layout]]
) -> tuple[np.ndarray, Layout]:
    """The same of attention, whose sources may have different timesteps."""
    (_, asked), (_, kept), _ = sources
    queries, keys, values = [layout.in_order(rows) for rows, layout in sources]
    found = []
    for ask, ask_end, keep, keep_end in zip(
        asked.starts, asked.ends, kept.starts, kept.ends, strict=True
    ):
        if keep_end - keep > layer.max_steps:
            raise DeltaloomError(steps_too_many(layer, int(keep_end - keep)))
        here = slice(keep, keep_end)
        found.append(attend(layer, queries[ask:ask_end], keys[here], values[here]))
    return np.concatenate(found)[asked.source], asked


def check_steps(layer: Reverse | Pool, lengths: np.ndarray) -> None:
    if max(lengths) > layer.max_steps:
        raise DeltaloomError(
            f"Layer {layer.name} must get sequences of at most {layer.max_steps} timesteps, "
            f"not {max(lengths)}"
        )


def check_indices(what: str, values: np.ndarray, entries: int) -> np.ndarray:
    """The values as int64; raises unless each is the index of one of a table's entries."""
    indices = values.astype(np.int64)
    wrong = values[(indices != values) | (indices < 0) | (indices >= entries)]
    if wrong.size:
        raise DeltaloomError(
            f"{what} must get whole numbers from 0 to {entries - 1}, not {wrong[0]:g}"
        )
    return indices


def window_places(layer: Window, steps: int) -> np.ndarray:
    """Timesteps (outputs, kernel) that each output of a sequence shows; some are outside it.

    Raises
    ------
    DeltaloomError
        If the sequence is too short for a single output.
    """
    outputs = Length(((layer.lost, layer.stride),)).of(steps)
    if outputs < 1:
        raise DeltaloomError(
            f"Layer {layer.name} must get sequences of at least {layer.lost + 1} timesteps, "
            f"not {steps}"
        )
    first = np.arange(outputs) * layer.stride - layer.padding[0]
    return first[:, None] + layer.dilation * np.arange(layer.kernel)


def _windows(layer: Window, rows: np.ndarray, layout: Layout) -> tuple[np.ndarray, Layout]:
    found = []
    for start, end in zip(layout.starts, layout.ends, strict=True):
        places = window_places(layer, end - start)
        inside = (places >= 0) & (places < end - start)
        shown = np.where(inside[:, :, None], rows[start + np.where(inside, places, 0)], 0)
        found.append(shown.reshape(len(places), -1))
    after = Layout.of([len(outputs) for outputs in found])
    return np.concatenate(found)[after.source], after
