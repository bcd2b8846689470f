"""Modules of ours that work on frames."""

import numpy as np

from ..axes import BATCH_FIRST, FRAME, TIME_FIRST, AxisOrderError, axes_text
from ..cell import trace
from ..cells import ConvLSTM, PeepholeConvLSTM
from ..network import Layer
from ..nn.conv_lstm import ConvLSTM as Module
from .stream_context import Context
from .stream_moves import last_of
from .tensors import Stream
from .torch_arrays import as_array
from .torch_indexing import LAST_STEP
from .torch_states import is_zero
from .torch_values import CellState, Recurrence

__all__ = ["apply_conv_lstm"]


def apply_conv_lstm(
    context: Context, module: Module, stream: Stream, start: object = None
) -> Recurrence:
    """A ``deltaloom.nn.ConvLSTM`` as layers ``<path>.0``, ``<path>.1``, ...

    Raises
    ------
    AxisOrderError
        If the module reads the axes in another order than the stream has them.
    UnsupportedError
        For an initial state that is not zero.
    """
    if not is_zero(start):
        raise context.refusal("is given an initial state", "a start from zeros")
    axes = (*(BATCH_FIRST if module.batch_first else TIME_FIRST)[:2], *FRAME)
    if stream.axes != axes:
        raise AxisOrderError(
            f"{context.subject} has batch_first={module.batch_first} and reads {axes_text(axes)}, "
            f"but its input has axes {axes_text(stream.axes)}"
        )
    (source,) = stream.parts
    ends = []
    for index in range(module.num_layers):
        layer = conv_layer(module, context.stem, index)
        source = context.builder.cell(layer.name, layer, source)
        ends.append(source)
    sizes = module.state_shape
    finals = tuple(last_of(context, name, LAST_STEP) for name in ends)
    stack = "stack" if len(finals) > 1 else "one"
    batch = stream.size("batch")
    hidden = Stream(finals, (stack, "batch", *FRAME), (len(finals), batch, *sizes))
    output = Stream((source,), axes, (*stream.sizes[:2], *sizes))
    return Recurrence(output, (hidden, CellState(context.stem)))


def conv_layer(module: Module, path: str, index: int) -> Layer:
    """One layer; kernels have their taps row after row, the channels of a tap together."""

    def array(what: str) -> np.ndarray:
        return as_array(getattr(module, f"{what}_l{index}"), f"{path}.{what}_l{index}")

    def pixels_first(values: np.ndarray) -> np.ndarray:
        return values.transpose(0, 2, 3, 1).reshape(len(values), -1)

    geometry = module.of_input
    w_ih, w_hh = array("weight_ih"), array("weight_hh")
    bias = np.zeros(len(w_ih))
    if module.bias:
        bias = array("bias_ih") + array("bias_hh")
    parameters: dict[str, np.ndarray] = {}
    for gate, w_x, w_h, b in zip(
        module.gates,
        *(np.split(values, 4) for values in (pixels_first(w_ih), pixels_first(w_hh), bias)),
        strict=True,
    ):
        parameters |= {f"{gate}.x": w_x, f"{gate}.h": w_h, gate: b}
    kind: type[ConvLSTM | PeepholeConvLSTM] = ConvLSTM
    if module.peepholes:
        kind = PeepholeConvLSTM
        peepholes = pixels_first(array("weight_ph"))
        parameters |= dict(zip(("p_i", "p_f", "p_o"), peepholes, strict=True))
    cell = kind(
        w_ih.shape[1],
        module.hidden_size,
        geometry.grid,
        geometry.kernel,
        module.padding,
        geometry.dilation,
        module.of_state.kernel,
    )
    return Layer(f"{path}.{index}", kind.__name__, trace(cell), parameters)
