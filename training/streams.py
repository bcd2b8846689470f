"""Stream layers as differentiable functions of torch tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..compiler.errors import DeltaloomError, UnsupportedError
from ..compiler.network import Network
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
from .derivatives import has_derivative
from .rounding import round_values

__all__ = ["check_differentiable", "look_up", "run_stream_layer"]


def check_differentiable(network: Network) -> None:
    """Raise UnsupportedError for a layer without a derivative."""
    for cell in network.computing:
        for node in cell.graph.nodes:
            if not has_derivative(node):
                raise UnsupportedError(
                    f"Layer {cell.name} ({cell.cell}) has the operation {node.name} "
                    f"({type(node).__name__}), which has no derivative yet"
                )
    for layer in network.layers:
        if isinstance(layer, ArgMax):
            raise UnsupportedError(
                f"Layer {layer.name} is an ArgMax, which has no derivative; train the network "
                f"without it"
            )


def run_stream_layer(
    layer: StreamLayer,
    values: Sequence[Tensor],
    lengths: np.ndarray,
    step: Tensor | None = None,
) -> tuple[Tensor, np.ndarray]:
    """Output (time, batch, features) and its lengths (batch,).

    ``values`` are those of the layer's sources, all with the same ``lengths``; timesteps beyond a
    sequence's length mean nothing. ``step`` is the exponent of the step of the output's format, if
    it is learned.
    """
    batch = torch.arange(len(lengths))
    ends = torch.from_numpy(lengths)
    first = values[0]
    times = torch.arange(len(first))[:, None]
    match layer:
        case LastStep():
            return first[ends - 1, batch][None], np.ones_like(lengths)
        case Reverse():
            _check_steps(layer, lengths)
            return first[(ends - 1 - times).clamp(min=0), batch], lengths
        case Concatenate():
            return torch.cat(list(values), dim=2), lengths
        case Pool(function="max"):
            lowest = first.masked_fill(~_living(first, ends), -torch.inf)
            return lowest.max(dim=0, keepdim=True).values, np.ones_like(lengths)
        case Pool(format=format):
            assert format is not None
            _check_steps(layer, lengths)
            sums = first.double().masked_fill(~_living(first, ends), 0).sum(dim=0, keepdim=True)
            mean = sums / ends[:, None]  # near enough to its exact value to be rounded as that is
            return round_values(mean, format, first.dtype, step), np.ones_like(lengths)
        case Window():
            places, outputs = layer.places(lengths)
            shown = first[torch.from_numpy(places.clip(0, len(first) - 1))[:, None], batch[:, None]]
            inside = torch.from_numpy(places >= 0)[:, None]
            inside = inside & (torch.from_numpy(places)[:, None] < ends[:, None])
            return shown.masked_fill(~inside[..., None], 0).flatten(2), outputs
        case Sum(format=format):
            assert format is not None
            total = torch.stack(list(values)).double().sum(dim=0)
            return round_values(total, format, first.dtype, step), lengths
        case _:
            raise TypeError(f"Layer must be a known stream layer, not {layer!r}")


def look_up(layer: Embedding, table: Tensor, indices: Tensor, lengths: np.ndarray) -> Tensor:
    """Rows of a table, (time, batch, features), by indices (time, batch, 1) that are whole."""
    places = indices.detach()[:, :, 0].long()
    layer.check_indices(places.numpy()[:, :, None], lengths)
    return table[places.clamp(0, layer.entries - 1)]


def _living(values: Tensor, ends: Tensor) -> Tensor:
    """Bool (time, batch, 1): which vectors are within their sequences."""
    return (torch.arange(len(values))[:, None] < ends)[:, :, None]


def _check_steps(layer: Reverse | Pool, lengths: np.ndarray) -> None:
    if max(lengths) > layer.max_steps:
        raise DeltaloomError(
            f"Input must hold sequences of at most {layer.max_steps} timesteps, which is what "
            f"layer {layer.name} has room for, not of {max(lengths)}"
        )
