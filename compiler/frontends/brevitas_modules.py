"""Modules of Brevitas as Python objects: their weights are integers, and stay the same ones.

Nothing of Brevitas is imported here; who has such a module has imported it.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ..axes import BATCH_FIRST, TIME_FIRST
from ..cell import Cell, trace
from ..cells import LSTM, RNN, CoupledLSTM, Linear, ReluRNN
from ..network import Layer
from .stream_context import Context
from .stream_elementwise import activate
from .tensors import Stream
from .torch_arrays import as_array
from .torch_layers import stacked
from .torch_states import is_zero
from .torch_values import Recurrence

__all__ = ["brevitas_modules"]

GATES = {"i": "input", "f": "forget", "g": "cell", "o": "output"}


def brevitas_modules() -> dict[type[nn.Module], Callable[..., Any]]:
    """Handlers by class, as those of torch's own modules; empty where Brevitas is not loaded."""
    library = sys.modules.get("brevitas.nn")
    if library is None:
        return {}
    return {
        library.QuantLinear: linear,
        library.QuantRNN: recurrent,
        library.QuantLSTM: recurrent,
        library.QuantIdentity: identity,
        library.QuantReLU: activation("relu"),
        library.QuantSigmoid: activation("sigmoid"),
        library.QuantTanh: activation("tanh"),
    }


def linear(context: Context, module: Any, stream: Stream) -> Stream:
    """``QuantLinear``."""
    with evaluation_mode(module):
        weights, step = integers(context, module, context.stem)
    if stream.axes[-1] != "features":
        raise context.axis_error(stream, "the features, as the last axis")
    bias = np.zeros(len(weights)) if module.bias is None else array(module.bias, context.stem)
    tell_quantizers(context, module)
    cell = trace(Linear(weights.shape[1], len(weights)))
    parameters = {"y.x": weights, "y": bias}
    layer = Layer(context.stem, "Linear", cell, parameters, steps=steps_of({"y.x": step}))
    (source,) = stream.parts
    return stream.with_features(context.builder.cell(layer.name, layer, source), len(weights))


def recurrent(
    context: Context, module: Any, stream: Stream, hx: Any = None, cx: Any = None
) -> Recurrence:
    """``QuantRNN`` and ``QuantLSTM``, with any number of layers and both directions."""
    if not (is_zero(hx) and is_zero(cx)):
        raise context.refusal("is given an initial state", "a start from zeros")
    with evaluation_mode(module):
        layers = [
            [layer_of(context, part, name(context.stem, index, part, len(parts))) for part in parts]
            for index, parts in enumerate(module.layers)
        ]
    first = module.layers[0][0].cell
    axes = BATCH_FIRST if first.batch_first else TIME_FIRST
    states = ("h", "c") if hasattr(first, "cifg") else ("h",)
    found = stacked(context, stream, axes, layers, states)
    tell_quantizers(context, module)
    return found


def name(path: str, index: int, part: Any, directions: int) -> str:
    way = "reverse" if part.cell.reverse_input else "forward"
    return f"{path}.{index}.{way}" if directions > 1 else f"{path}.{index}"


def layer_of(context: Context, part: Any, name: str) -> Layer:
    """One layer and direction."""
    size, hidden = part.input_size, part.hidden_size
    cell: Cell
    if hasattr(part, "gate_params"):
        gates = {"n": part.gate_params}
        cell = (ReluRNN if isinstance(part.cell.act_fn, nn.ReLU) else RNN)(size, hidden)
    else:
        gates = {gate: getattr(part, f"{word}_gate_params") for gate, word in GATES.items()}
        if part.cifg:
            del gates["f"]
        cell = (CoupledLSTM if part.cifg else LSTM)(size, hidden)
    parameters: dict[str, np.ndarray] = {}
    steps: dict[str, float | None] = {}
    for gate, parts in gates.items():
        bias = np.zeros(hidden) if parts.bias is None else array(parts.bias, f"{name}.{gate}")
        sign = 1
        if gate == "i" and getattr(part, "cifg", False):  # f = 1 - s(a) = s(-a)
            gate, sign = "f", -1
        for operand, weight in (("x", parts.input_weight), ("h", parts.hidden_weight)):
            key = f"{gate}.{operand}"
            values, steps[key] = integers(context, weight, f"{name}.{key}")
            parameters[key] = sign * values
        parameters[gate] = sign * bias
    return Layer(name, type(cell).__name__, trace(cell), parameters, steps=steps_of(steps))


def integers(context: Context, module: Any, what: str) -> tuple[np.ndarray, float | None]:
    """Weights, and what one unit of their integers is worth; ``None`` if they are not quantized."""
    if not module.weight_quant.is_quant_enabled:
        return array(module.weight, what), None
    found = module.weight_quant(module.weight)
    if not all(hasattr(found, part) for part in ("value", "scale", "zero_point")):
        raise context.refusal(f"has weights {what} that are no integers", "integers")
    if torch.any(found.zero_point != 0):
        raise context.refusal(f"has weights {what} with a zero point", "symmetric ones")
    scales = np.unique(as_array(found.scale, f"{what}.scale"))
    exponents = np.log2(scales)
    if len(scales) > 1 and np.any(exponents != np.rint(exponents)):
        raise context.refusal(
            f"has weights {what} with a scale for each row, from {scales[0]:.6g} to "
            f"{scales[-1]:.6g}",
            "one for each matrix, or powers of two",
        )
    step = float(scales[0])  # the finest, of which the others are multiples
    return np.rint(array(found.value, what) / step) * step, step


def array(values: torch.Tensor, what: str) -> np.ndarray:
    return as_array(values, what)


def steps_of(found: Mapping[str, float | None]) -> dict[str, float]:
    return {key: step for key, step in found.items() if step is not None}


def identity(context: Context, module: Any, stream: Stream) -> Stream:
    tell_quantizers(context, module)
    return stream


def activation(function: str) -> Callable[..., Stream]:
    def handler(context: Context, module: Any, stream: Stream) -> Stream:
        tell_quantizers(context, module)
        return activate(context, stream, function)

    return handler


def tell_quantizers(context: Context, module: nn.Module) -> None:
    """Warn of what is not taken over: formats of activations come from calibration."""
    other = [
        path
        for path, part in module.named_modules()
        if getattr(part, "is_quant_enabled", False) and not path.endswith("weight_quant")
    ]
    if other:
        warnings.warn(
            f"{context.subject} quantizes activations or biases too ({other[0]}): weights are "
            f"kept, but formats of activations come from calibration and the recipe",
            stacklevel=2,
        )


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """No quantizer gathers statistics meanwhile, and no derivative is kept."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, was in training.items():
            part.training = was
