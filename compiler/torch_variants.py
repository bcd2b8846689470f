"""Layers of our own torch modules: which row is which gate, and batch normalisation folded."""

from typing import Any

import numpy as np

from .cell import Cell, trace
from .cells import CoupledLSTM, LiGRU, PeepholeLSTM
from .errors import UnsupportedError
from .network import Layer
from .nn import CoupledLSTM as CoupledLSTMModule
from .nn import LiGRU as LiGRUModule
from .nn import PeepholeLSTM as PeepholeLSTMModule
from .nn import ResetBeforeGRU as ResetBeforeGRUModule
from .nn.stack import RecurrentStack
from .torch_arrays import as_array

__all__ = ["VARIANTS", "variant_layer"]

VARIANTS = (CoupledLSTMModule, LiGRUModule, PeepholeLSTMModule, ResetBeforeGRUModule)
CELLS: dict[type[RecurrentStack], type[Cell]] = {
    CoupledLSTMModule: CoupledLSTM,
    LiGRUModule: LiGRU,
    PeepholeLSTMModule: PeepholeLSTM,
}


def variant_layer(module: RecurrentStack, path: str, index: int) -> Layer:
    """Layer ``index`` of a module of :data:`VARIANTS`, as it computes at inference.

    Raises
    ------
    UnsupportedError
        For a module without a cell of its own in hardware, or one derived from ours.
    """
    kind = type(module)
    if kind not in CELLS:
        raise UnsupportedError(
            f"Module {path} ({kind.__name__}) has no cell in hardware; of deltaloom.nn supported "
            f"are {', '.join(kind.__name__ for kind in CELLS)}"
        )

    def array(name: str) -> Any:
        return as_array(getattr(module, f"{name}_l{index}"), f"{path}.{name}_l{index}")

    w_ih, w_hh = array("weight_ih"), array("weight_hh")
    bias = np.zeros(len(w_ih))
    if kind is LiGRUModule:
        norm = getattr(module, f"norm_l{index}")
        mean, variance, weight = (
            as_array(getattr(norm, name), f"{path}.norm_l{index}.{name}")
            for name in ("running_mean", "running_var", "weight")
        )
        scale = weight / np.sqrt(variance + norm.eps)
        w_ih, bias = w_ih * scale[:, None], -mean * scale
        if norm.bias is not None:
            bias = bias + as_array(norm.bias, f"{path}.norm_l{index}.bias")
    elif module.bias:
        bias = array("bias_ih") + array("bias_hh")

    parameters: dict[str, np.ndarray] = {}
    for gate, w_x, w_h, b in zip(
        module.gates,
        *(np.split(values, len(module.gates)) for values in (w_ih, w_hh, bias)),
        strict=True,
    ):
        parameters |= {f"{gate}.x": w_x, f"{gate}.h": w_h, gate: b}
    if kind is PeepholeLSTMModule:
        peepholes = array("weight_ph")
        parameters |= dict(zip(("p_i", "p_o", "p_f"), peepholes, strict=True))
    graph = trace(CELLS[kind](w_ih.shape[1], module.hidden_size))
    return Layer(f"{path}.{index}", CELLS[kind].__name__, graph, parameters)
