"""Layers of torch modules: which row is which gate, and which biases add."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from .axes import BATCH_FIRST, TIME_FIRST, AxisOrderError, axes_text
from .cell import Cell, constant, trace, with_activation, with_output
from .cells import GRU, LSTM, RNN, Linear, ProjectedLSTM, ReluRNN
from .errors import UnsupportedError
from .layer_norm import layer_norm
from .network import Layer
from .nn.stack import RecurrentStack
from .torch_arrays import as_array
from .torch_streams import CellState, Hidden, InitialState, Recurrence, Stream
from .torch_variants import VARIANTS, variant_layer

__all__ = [
    "RECURRENT",
    "apply_activation",
    "apply_layer_norm",
    "apply_linear",
    "apply_recurrent",
]

RECURRENT: tuple[type[nn.Module], ...] = (nn.RNN, nn.LSTM, nn.GRU, *VARIANTS)


def apply_recurrent(
    module: nn.RNNBase | RecurrentStack, path: str, stream: Stream, start: Any = None
) -> Recurrence:
    """A module of :data:`RECURRENT` as layers ``<path>.0``, ``<path>.1``, ...

    Raises
    ------
    AxisOrderError
        If the module reads the axes in another order than the stream has them.
    UnsupportedError
        For two directions, an initial state that is not zero, or weights that
        cannot be taken.
    """
    subject = f"Module {path} ({type(module).__name__})"
    if module.bidirectional:
        raise UnsupportedError(f"{subject} has bidirectional=True; supported is one direction")
    if not _is_zero(start):
        raise UnsupportedError(
            f"{subject} is given an initial state; supported is a start from zeros"
        )
    axes = BATCH_FIRST if module.batch_first else TIME_FIRST
    if stream.axes != axes:
        error = AxisOrderError if set(stream.axes) == set(axes) else UnsupportedError
        raise error(
            f"{subject} has batch_first={module.batch_first} and reads {axes_text(axes)}, but "
            f"its input has axes {axes_text(stream.axes)}"
        )
    make = variant_layer if isinstance(module, RecurrentStack) else _recurrent_layer
    layers = tuple(make(module, path, index) for index in range(module.num_layers))
    hidden = Hidden(stream.layers, layers)
    plain = ("h", "c") if isinstance(module, nn.LSTM) else ("h",)
    states = tuple(
        hidden if name == "h" else CellState(path) for name in getattr(module, "states", plain)
    )
    return Recurrence(Stream((*stream.layers, *layers), axes), states if states[1:] else states[0])


def _is_zero(state: Any) -> bool:
    """Whether a recurrent module that starts from the state starts from zeros."""
    match state:
        case None | InitialState():
            return True
        case torch.Tensor():
            return not state.any()
        case tuple() | list():
            return all(map(_is_zero, state))
    return False


def _recurrent_layer(module: nn.RNNBase, path: str, index: int) -> Layer:
    hidden = module.hidden_size
    w_ih = _recurrent_parameter(module, path, f"weight_ih_l{index}")
    w_hh = _recurrent_parameter(module, path, f"weight_hh_l{index}")
    if module.bias:
        b_ih = _recurrent_parameter(module, path, f"bias_ih_l{index}")
        b_hh = _recurrent_parameter(module, path, f"bias_hh_l{index}")
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
        w_hr = _recurrent_parameter(module, path, f"weight_hr_l{index}")
        parameters |= {"p.m": w_hr, "p": np.zeros(len(w_hr))}
    return Layer(f"{path}.{index}", type(cell).__name__, trace(cell), parameters)


def apply_linear(
    path: str, stream: Stream, weight: torch.Tensor, bias: torch.Tensor | None
) -> Stream:
    """A layer of weights (outputs, inputs) and a bias (outputs,), on the features of a stream."""
    if stream.axes[-1] != "features":
        raise UnsupportedError(
            f"Layer {path} reads the {stream.axes[-1]} axis of a tensor with axes "
            f"{axes_text(stream.axes)}; supported are the features, as the last axis"
        )
    w = as_array(weight, f"{path}.weight")
    b = np.zeros(len(w)) if bias is None else as_array(bias, f"{path}.bias")
    graph = trace(Linear(w.shape[1], w.shape[0]))
    return replace(
        stream, layers=(*stream.layers, Layer(path, "Linear", graph, {"y.x": w, "y": b}))
    )


def apply_activation(function: str, subject: str, stream: Stream) -> Stream:
    """The stream with ``function`` of it as the output of the layer that gives it.

    A recurrent layer's state stays as it is.
    """
    last = stream.last_layer
    if last is None:
        raise UnsupportedError(
            f"{subject} follows the input; supported is an activation after a layer"
        )
    activated = replace(last, graph=with_activation(last.graph, function))
    layers = tuple(activated if layer is last else layer for layer in stream.layers)
    return replace(stream, layers=layers)


def apply_layer_norm(module: nn.LayerNorm, path: str, stream: Stream) -> Stream:
    """The stream with its features normalised, as the output of the layer that gives it.

    A recurrent layer's state stays as it is.
    """
    subject = f"Module {path} (LayerNorm)"
    last = stream.last_layer
    if last is None:
        raise UnsupportedError(
            f"{subject} follows the input; supported is a normalisation after a layer"
        )
    size = last.output_size
    if tuple(module.normalized_shape) != (size,) or stream.axes[-1] != "features":
        raise UnsupportedError(
            f"{subject} has normalized_shape={tuple(module.normalized_shape)}; supported are the "
            f"{size} features of layer {last.name}"
        )
    name = identifier(path)
    gain = np.ones(size) if module.weight is None else as_array(module.weight, f"{path}.weight")
    bias = np.zeros(size) if module.bias is None else as_array(module.bias, f"{path}.bias")
    graph = with_output(
        last.graph, lambda value: layer_norm([value], constant, name, epsilon=module.eps)[0]
    )
    parameters = {**last.parameters, f"{name}_gain_0": gain, f"{name}_bias_0": bias}
    normed = replace(last, graph=graph, parameters=parameters)
    layers = tuple(normed if layer is last else layer for layer in stream.layers)
    return replace(stream, layers=layers)


def identifier(path: str) -> str:
    """A node's name for a module's path, which may begin with a number."""
    return "norm_" + re.sub(r"\W", "_", path)


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
