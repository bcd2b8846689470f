"""How a prepared module is called: as the module that it was made from."""

from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from ..compiler.axes import BATCH_FIRST, FRAME, TIME_FIRST
from ..compiler.convolution import frames, pixel_vectors
from ..compiler.errors import DeltaloomError, UnsupportedError
from ..compiler.graph import Affine
from ..compiler.nn import ConvLSTM
from ..compiler.torch_frontend import Traced
from ..compiler.torch_interpreter import is_plain
from ..compiler.torch_layers import RECURRENT
from ..compiler.wiring import INPUT

__all__ = ["Arguments", "Call", "as_frames", "call_of", "read_arguments", "shape_output"]


@dataclass(frozen=True)
class Call:
    """What a module takes and returns.

    Parameters
    ----------
    argument : str
        Name of the input.
    axes, output_axes : tuple of str
        Of the input and of the output; indices have no ``features``, and the elements of frames
        are ``features`` too.
    grids : tuple of tuple of int, or None
        Rows and columns of the frames that come in, and of those that go out, if they are frames.
    stack : tuple of str
        The layers of a recurrent module: their final states are returned beside the output.
        Empty: the output alone is.
    states : tuple of str
        Of a recurrent module: the states whose final values are returned; ``h`` is the output.
    """

    argument: str = "x"
    axes: tuple[str, ...] = BATCH_FIRST
    output_axes: tuple[str, ...] = BATCH_FIRST
    stack: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    grids: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)

    def kept(self, layer: str) -> tuple[str, ...]:
        """The states of a layer whose final values are returned and which no output has."""
        return tuple(name for name in self.states if name != "h") if layer in self.stack else ()


@dataclass(frozen=True)
class Arguments:
    """The sequences of a call.

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


def call_of(module: nn.Module, traced: Traced) -> Call:
    """How a torch module is called that was traced."""
    axes, output_axes = (
        tuple("features" if axis == FRAME[0] else axis for axis in axes if axis not in FRAME[1:])
        for axes in (traced.axes[INPUT], traced.output_axes)
    )
    grids = grids_of(traced)
    argument = next(iter(signature(module.forward).parameters))
    path, last = "", module
    while is_plain(last, nn.Sequential):
        assert isinstance(last, nn.Sequential)
        name = str(len(last) - 1)
        path, last = f"{path}.{name}" if path else name, last[-1]
    if not is_plain(last, *RECURRENT, ConvLSTM):
        return Call(argument, axes, output_axes, grids=grids)
    path = path or type(last).__name__.lower()
    plain = ("h", "c") if isinstance(last, nn.LSTM) else ("h",)
    ways = (".forward", ".reverse") if last.bidirectional else ("",)
    stack = tuple(f"{path}.{index}{way}" for index in range(last.num_layers) for way in ways)
    return Call(argument, axes, output_axes, stack, getattr(last, "states", plain), grids)


def grids_of(traced: Traced) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Rows and columns of the frames that a module takes and of those that it gives, if it does."""
    convolutions = [
        path.convolution
        for layer in traced.network.computing
        for _, affine in layer.graph.of(Affine)
        for path in affine.paths[:1]
        if path.convolution is not None
    ]
    taken = convolutions[0].grid if FRAME[0] in traced.axes[INPUT] else None
    given = convolutions[-1].outputs if FRAME[0] in traced.output_axes else None
    return taken, given


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
    call: Call, features: int, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Arguments:
    """Check what a prepared module was called with.

    Raises
    ------
    TypeError
        If there is no input.
    UnsupportedError
        For an initial state that is not zero, and any other argument.
    DeltaloomError
        For a wrong shape, an empty sequence, or values that are not finite.
    """
    if arguments:
        x, *others = arguments
    elif call.argument in named:
        x, others = named.pop(call.argument), []
    else:
        raise TypeError(f"Prepared module must be called with its input, {call.argument}")
    for value in (*others, *named.values()):
        if not _is_nothing(value):
            raise UnsupportedError(
                "Prepared module is given more than its input; supported is one input, and a "
                "start from zeros"
            )
    if isinstance(x, PackedSequence):
        return _from_packed(call, x, features)
    if isinstance(x, list | tuple):
        sequences = [as_vectors(torch.as_tensor(sequence), call.grids[0]) for sequence in x]
        return _from_list(sequences, features)
    x = as_vectors(torch.as_tensor(x), call.grids[0])
    kind = "sequence" if call.stack and x.dim() == 2 else "tensor"
    axes = tuple(axis for axis in call.axes if axis != "batch" or kind == "tensor")
    shape = [str(features) if axis == "features" else axis for axis in axes]
    if x.dim() != len(axes) or ("features" in axes and x.shape[axes.index("features")] != features):
        raise DeltaloomError(f"Input must have shape ({', '.join(shape)}), not {tuple(x.shape)}")
    if "features" not in axes:
        x, axes = x.unsqueeze(-1), (*axes, "features")
    values = x.permute([axes.index(axis) for axis in TIME_FIRST if axis in axes])
    values = values.unsqueeze(1) if kind == "sequence" else values
    return _checked(values, np.full(values.shape[1], values.shape[0]), kind)


def _from_packed(call: Call, x: PackedSequence, features: int) -> Arguments:
    if not call.stack:
        raise UnsupportedError(
            "Input is a PackedSequence, which recurrent modules alone take; supported is a tensor "
            "or a list of sequences"
        )
    if x.data.shape[1] != features:
        raise DeltaloomError(f"Input must have {features} features, not {x.data.shape[1]}")
    values, lengths = pad_packed_sequence(x)
    kind = "packed in order" if x.sorted_indices is None else "packed"
    return _checked(values, lengths.numpy(), kind)


def _from_list(sequences: list[Tensor], features: int) -> Arguments:
    for place, sequence in enumerate(sequences):
        if sequence.dim() != 2 or sequence.shape[1] != features:
            raise DeltaloomError(
                f"Input must have shape (time, {features}), but sequence {place} has "
                f"{tuple(sequence.shape)}"
            )
    if not sequences or not all(map(len, sequences)):
        raise DeltaloomError("Input must hold at least one sequence of at least one timestep")
    values = pad_sequence(sequences)
    return _checked(values, np.array([len(sequence) for sequence in sequences]), "list")


def _checked(values: Tensor, lengths: np.ndarray, kind: str) -> Arguments:
    if values.device.type != "cpu":
        raise UnsupportedError(
            f"Prepared modules compute on the processor, not on {values.device}: move module and "
            f"data there"
        )
    if not values.is_floating_point():
        values = values.double()
    if 0 in values.shape:
        raise DeltaloomError(f"Input must not be empty, but it has shape {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise DeltaloomError("Input must be finite, but it holds NaN or infinity")
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
