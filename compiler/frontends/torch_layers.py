"""Recurrent modules of torch: which row is which gate, and which biases add."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..axes import BATCH_FIRST, TIME_FIRST, AxisOrderError, axes_text
from ..cell import Cell, trace
from ..cells import GRU, LSTM, RNN, ProjectedLSTM, ReluRNN
from ..errors import UnsupportedError
from ..graph import State
from ..network import Concatenate, Layer
from ..nn.stack import RecurrentStack
from .stream_context import Context
from .stream_moves import last_of
from .stream_operations import directions
from .tensors import Stream
from .torch_arrays import as_array
from .torch_indexing import LAST_STEP
from .torch_states import initial_states
from .torch_values import CellState, Recurrence
from .torch_variants import VARIANTS, variant_layer

__all__ = ["RECURRENT", "apply_recurrent", "stacked"]

RECURRENT: tuple[type[nn.Module], ...] = (nn.RNN, nn.LSTM, nn.GRU, *VARIANTS)
SUFFIXES = ("", "_reverse")


def apply_recurrent(
    context: Context, module: nn.RNNBase | RecurrentStack, stream: Stream, start: Any = None
) -> Recurrence:
    """A module of :data:`RECURRENT`.

    Its layers are ``<path>.0``, ``<path>.1``, ...; with two directions ``<path>.0.forward``,
    ``<path>.0.reverse``, ..., whose outputs are concatenated.

    Raises
    ------
    AxisOrderError
        If the module reads the axes in another order than the stream has them.
    UnsupportedError
        For an initial state that is computed, or weights that cannot be taken.
    """
    axes = BATCH_FIRST if module.batch_first else TIME_FIRST
    suffixes = SUFFIXES[: 1 + module.bidirectional]
    layers = [
        [_layer(module, context.stem, index, suffix) for suffix in suffixes]
        for index in range(module.num_layers)
    ]
    sizes = {state.name: state.size for _, state in layers[0][0].graph.of(State)}
    starts = iter(initial_states(context, start, sizes, len(layers) * len(suffixes)))
    layers = [[replace(layer, initial=next(starts)) for layer in ways] for ways in layers]
    return stacked(context, stream, axes, layers, tuple(sizes))


def stacked(
    context: Context,
    stream: Stream,
    axes: tuple[str, ...],
    layers: Sequence[Sequence[Layer]],
    states: Sequence[str],
) -> Recurrence:
    """Layers one after the other, each with one or two directions.

    Parameters
    ----------
    axes : tuple of str
        In which order they read a tensor.
    layers : sequence of sequence of Layer
        Without sources; by layer, the forward one first.
    states : sequence of str
        Of the cell; ``h`` is the output.
    """
    if stream.axes != axes:
        raise AxisOrderError(
            f"{context.subject} has batch_first={axes == BATCH_FIRST} and reads {axes_text(axes)}, "
            f"but its input has axes {axes_text(stream.axes)}"
        )
    path, builder = context.stem, context.builder
    (source,) = stream.parts
    finals: list[str] = []
    for index, ways in enumerate(layers):
        outputs, ends = directions(context, source, ways, [False, True][: len(ways)])
        finals += [last_of(context, name, LAST_STEP) for name in ends]
        source, *more = outputs
        if more:
            name = builder.fresh(f"{path}.{index}.both")
            source = builder.add(Concatenate(name, sources=outputs))
    size = layers[-1][0].output_size
    stack = "stack" if len(finals) > 1 else "one"
    sizes = (len(finals), stream.size("batch"), size)
    hidden = Stream(tuple(finals), (stack, "batch", "features"), sizes)
    found = tuple(hidden if name == "h" else CellState(path) for name in states)
    output = stream.with_features(source, len(layers[-1]) * size)
    return Recurrence(output, found if found[1:] else found[0])


def _layer(module: nn.RNNBase | RecurrentStack, path: str, index: int, suffix: str) -> Layer:
    name = f"{path}.{index}"
    if module.bidirectional:
        name += ".reverse" if suffix else ".forward"
    make = variant_layer if isinstance(module, RecurrentStack) else _recurrent_layer
    return make(module, path, name, f"l{index}{suffix}")


def _recurrent_layer(module: nn.RNNBase, path: str, name: str, suffix: str) -> Layer:
    """One layer and direction, whose parameters end with ``suffix``."""
    hidden = module.hidden_size
    w_ih = _recurrent_parameter(module, path, f"weight_ih_{suffix}")
    w_hh = _recurrent_parameter(module, path, f"weight_hh_{suffix}")
    if module.bias:
        b_ih = _recurrent_parameter(module, path, f"bias_ih_{suffix}")
        b_hh = _recurrent_parameter(module, path, f"bias_hh_{suffix}")
    else:
        b_ih = b_hh = np.zeros(len(w_ih))

    size = w_ih.shape[1]
    cell: Cell
    gates: tuple[str, ...]
    match module.mode:
        case "LSTM" if module.proj_size:
            cell, gates = ProjectedLSTM(size, hidden, module.proj_size), ("i", "f", "g", "o")
        case "LSTM":
            cell, gates = LSTM(size, hidden), ("i", "f", "g", "o")
        case "GRU":
            cell, gates = GRU(size, hidden), ("r", "z", "n")
        case "RNN_TANH":
            cell, gates = RNN(size, hidden), ("n",)
        case "RNN_RELU":
            cell, gates = ReluRNN(size, hidden), ("n",)
        case mode:
            raise UnsupportedError(
                f"Module {path} ({type(module).__name__}) has mode {mode}; supported are "
                f"LSTM, GRU, RNN_TANH and RNN_RELU"
            )

    parameters: dict[str, np.ndarray] = {}
    for gate, w_x, w_h, b_x, b_h in zip(
        gates, *(np.split(values, len(gates)) for values in (w_ih, w_hh, b_ih, b_hh)), strict=True
    ):
        if module.mode == "GRU" and gate == "n":  # the reset gate multiplies b_h too
            parameters |= {"n_x.x": w_x, "n_x": b_x, "n_h.h": w_h, "n_h": b_h}
        else:
            parameters |= {f"{gate}.x": w_x, f"{gate}.h": w_h, gate: b_x + b_h}
    if module.proj_size:
        w_hr = _recurrent_parameter(module, path, f"weight_hr_{suffix}")
        parameters |= {"p.m": w_hr, "p": np.zeros(len(w_hr))}
    return Layer(name, type(cell).__name__, trace(cell), parameters)


def _recurrent_parameter(module: nn.RNNBase, path: str, name: str) -> np.ndarray:
    """A parameter by name, which has to be what the module's forward pass reads."""
    values = getattr(module, name)
    used = module._flat_weights[module._flat_weights_names.index(name)]
    if used is not values and (used is None or not torch.equal(used, values)):
        raise UnsupportedError(
            f"Parameter {path}.{name} is not the one that the module's own forward pass reads, as "
            f"happens with parametrized recurrent weights; make it plain with "
            f"torch.nn.utils.parametrize.remove_parametrizations"
        )
    return as_array(values, f"{path}.{name}")
