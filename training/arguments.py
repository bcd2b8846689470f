"""What a prepared module is called with, and what it returns, as tensors of the network's axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from ..compiler.axes import TIME_FIRST
from ..compiler.convolution import frames, pixel_vectors
from ..compiler.errors import DeltaloomError, UnsupportedError
from ..compiler.evaluate import check_counts
from ..compiler.wiring import INPUT
from .call import Call

__all__ = ["Arguments", "as_frames", "read_arguments", "shape_output"]


@dataclass(frozen=True)
class Arguments:
    """The sequences of an input.

    Parameters
    ----------
    values : torch.Tensor
        (time, batch, features), padded.
    lengths : numpy.ndarray
        (batch,).
    kind : str
        ``"tensor"``, ``"sequence"`` (one without a batch), ``"list"``, or ``"packed"`` and
        ``"packed in order"`` of torch's packed sequences, the latter with the longest first.
    """

    values: Tensor
    lengths: np.ndarray
    kind: str


def as_vectors(x: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """Frames (..., channels, rows, columns) of a grid as vectors; anything else as it is."""
    if grid is None:
        return x
    if x.dim() < 3 or tuple(x.shape[-2:]) != grid:
        raise DeltaloomError(
            f"Input must hold frames (channels, {grid[0]}, {grid[1]}), not {tuple(x.shape)}"
        )
    vectors: Tensor = pixel_vectors(x)
    return vectors


def as_frames(values: Any, grid: tuple[int, int] | None) -> Any:
    """What :func:`as_vectors` undoes, for a tensor or a list of them."""
    if grid is None:
        return values
    return (
        [frames(part, grid) for part in values]
        if isinstance(values, list)
        else frames(values, grid)
    )


def read_arguments(
    call: Call, features: Mapping[str, int], arguments: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Arguments]:
    """Check what a prepared module was called with, by input of the network.

    Raises
    ------
    TypeError
        If an input is missing.
    UnsupportedError
        For an initial state that is not zero, and any other argument.
    DeltaloomError
        For a wrong shape, an empty sequence, or values that are not finite.
    """
    given = dict(zip(call.arguments.values(), arguments, strict=False))
    others = [*arguments[len(given) :], *(named[name] for name in named if name in given)]
    for root, name in call.arguments.items():
        if name in named and name not in given:
            given[name] = named.pop(name)
        if name not in given:
            raise TypeError(f"Prepared module must be called with its {root}, {name}")
    for value in (*others, *named.values()):
        if not _is_nothing(value):
            raise UnsupportedError(
                f"Prepared module is given more than its {' and '.join(call.arguments)}; supported "
                f"is one {' and one '.join(call.arguments)}, and a start from zeros"
            )
    found = {
        root: _read(call, root, features[root], given[name])
        for root, name in call.arguments.items()
    }
    check_counts({root: len(part.lengths) for root, part in found.items()})
    return found


def _read(call: Call, root: str, features: int, x: Any) -> Arguments:
    """The sequences of an input."""
    title = root.capitalize()
    grid = call.grids[0] if root == INPUT else None
    if isinstance(x, PackedSequence):
        return _from_packed(call, x, features, title)
    if isinstance(x, list | tuple):
        sequences = [as_vectors(torch.as_tensor(sequence), grid) for sequence in x]
        return _from_list(sequences, features, title)
    x = as_vectors(torch.as_tensor(x), grid)
    kind = "sequence" if call.stack and x.dim() == 2 else "tensor"
    axes = tuple(axis for axis in call.axes[root] if axis != "batch" or kind == "tensor")
    shape = [str(features) if axis == "features" else axis for axis in axes]
    if x.dim() != len(axes) or ("features" in axes and x.shape[axes.index("features")] != features):
        raise DeltaloomError(f"{title} must have shape ({', '.join(shape)}), not {tuple(x.shape)}")
    if "features" not in axes:
        x, axes = x.unsqueeze(-1), (*axes, "features")
    values = x.permute([axes.index(axis) for axis in TIME_FIRST if axis in axes])
    values = values.unsqueeze(1) if kind == "sequence" else values
    return _checked(values, np.full(values.shape[1], values.shape[0]), kind, title)


def _from_packed(call: Call, x: PackedSequence, features: int, title: str) -> Arguments:
    if not call.stack:
        raise UnsupportedError(
            f"{title} is a PackedSequence, which recurrent modules alone take; supported is a "
            f"tensor or a list of sequences"
        )
    if x.data.shape[1] != features:
        raise DeltaloomError(f"{title} must have {features} features, not {x.data.shape[1]}")
    values, lengths = pad_packed_sequence(x)
    kind = "packed in order" if x.sorted_indices is None else "packed"
    return _checked(values, lengths.numpy(), kind, title)


def _from_list(sequences: list[Tensor], features: int, title: str) -> Arguments:
    for place, sequence in enumerate(sequences):
        if sequence.dim() != 2 or sequence.shape[1] != features:
            raise DeltaloomError(
                f"{title} must have shape (time, {features}), but sequence {place} has "
                f"{tuple(sequence.shape)}"
            )
    if not sequences or not all(map(len, sequences)):
        raise DeltaloomError(f"{title} must hold at least one sequence of at least one timestep")
    values = pad_sequence(sequences)
    return _checked(values, np.array([len(sequence) for sequence in sequences]), "list", title)


def _checked(values: Tensor, lengths: np.ndarray, kind: str, title: str) -> Arguments:
    if values.device.type != "cpu":
        raise UnsupportedError(
            f"Prepared modules compute on the processor, not on {values.device}: move module and "
            f"data there"
        )
    if not values.is_floating_point():
        values = values.double()
    if 0 in values.shape:
        raise DeltaloomError(f"{title} must not be empty, but it has shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise DeltaloomError(f"{title} must be finite, but it holds NaN or infinity")
    return Arguments(values, lengths, kind)


def _is_nothing(value: Any) -> bool:
    match value:
        case None:
            return True
        case Tensor():
            return not bool(value.any())
        case tuple() | list():
            return all(map(_is_nothing, value))
    return False


def shape_output(
    call: Call, given: Arguments, values: Tensor, lengths: np.ndarray, once: bool
) -> Any:
    """The output (time, batch, features) in the shape that belongs to the call."""
    return as_frames(_shaped(call, given, values, lengths, once), call.grids[1])


def _shaped(call: Call, given: Arguments, values: Tensor, lengths: np.ndarray, once: bool) -> Any:
    if "features" not in call.output_axes:
        values = values[..., 0]
    if once:
        return values[0]
    if given.kind == "list":
        return [values[:length, place] for place, length in enumerate(lengths)]
    if given.kind.startswith("packed"):
        in_order = given.kind == "packed in order"
        return pack_padded_sequence(values, torch.from_numpy(lengths), enforce_sorted=in_order)
    if given.kind == "sequence":
        return values[:, 0]
    axes = [axis for axis in TIME_FIRST if axis in call.output_axes]
    return values.permute([axes.index(axis) for axis in call.output_axes])
