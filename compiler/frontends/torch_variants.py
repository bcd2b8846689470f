"""Layers of our own torch modules: which row is which gate, and batch normalisation folded."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn as modules
from ..cell import Cell, trace
from ..cells import SRU, CoupledLSTM, LayerNormLSTM, LiGRU, PeepholeLSTM, ResetBeforeGRU
from ..errors import UnsupportedError
from ..network import Layer
from ..nn.stack import RecurrentStack
from .torch_arrays import as_array

__all__ = ["VARIANTS", "variant_layer"]

CELLS: dict[type[RecurrentStack], type[Cell]] = {
    modules.CoupledLSTM: CoupledLSTM,
    modules.LayerNormLSTM: LayerNormLSTM,
    modules.LiGRU: LiGRU,
    modules.PeepholeLSTM: PeepholeLSTM,
    modules.ResetBeforeGRU: ResetBeforeGRU,
    modules.SRU: SRU,
}
VARIANTS = tuple(CELLS)


def variant_layer(module: RecurrentStack, path: str, name: str, suffix: str) -> Layer:
    """One layer and direction of a module of :data:`VARIANTS`, as it computes at inference.

    Parameters
    ----------
    path, name : str
        What the module and the layer are called.
    suffix : str
        What the names of its parameters end with: ``l0``, ``l0_reverse``, ``l1``, ...

    Raises
    ------
    UnsupportedError
        For a module that is derived from ours.
    """
    kind = type(module)
    if kind not in CELLS:
        raise UnsupportedError(
            f"Module {path} ({kind.__name__}) has no cell in hardware; of deltaloom.nn supported "
            f"are {', '.join(kind.__name__ for kind in CELLS)}"
        )

    def array(what: str) -> Any:
        return as_array(getattr(module, f"{what}_{suffix}"), f"{path}.{what}_{suffix}")

    if isinstance(module, modules.LayerNormLSTM):
        return layer_norm_layer(module, path, name, suffix, array)
    if isinstance(module, modules.SRU):
        return sru_layer(module, name, array)
    w_ih, w_hh = array("weight_ih"), array("weight_hh")
    bias = np.zeros(len(w_ih))
    if kind is modules.LiGRU:
        norm = getattr(module, f"norm_{suffix}")
        mean, variance, weight = (
            as_array(getattr(norm, what), f"{path}.norm_{suffix}.{what}")
            for what in ("running_mean", "running_var", "weight")
        )
        scale = weight / np.sqrt(variance + norm.eps)
        w_ih, bias = w_ih * scale[:, None], -mean * scale
        if norm.bias is not None:
            bias = bias + as_array(norm.bias, f"{path}.norm_{suffix}.bias")
    elif module.bias:
        bias = array("bias_ih") + array("bias_hh")

    parameters: dict[str, np.ndarray] = {}
    for gate, w_x, w_h, b in zip(
        module.gates,
        *(np.split(values, len(module.gates)) for values in (w_ih, w_hh, bias)),
        strict=True,
    ):
        state = "rh" if kind is modules.ResetBeforeGRU and gate == "n" else "h"
        parameters |= {f"{gate}.x": w_x, f"{gate}.{state}": w_h, gate: b}
    if kind is modules.PeepholeLSTM:
        peepholes = array("weight_ph")
        parameters |= dict(zip(("p_i", "p_o", "p_f"), peepholes, strict=True))
    graph = trace(CELLS[kind](w_ih.shape[1], module.hidden_size))
    return Layer(name, CELLS[kind].__name__, graph, parameters)


def sru_layer(module: modules.SRU, name: str, array: Callable[[str], np.ndarray]) -> Layer:
    """A layer of an SRU; ``array`` gives its parameters by their names without the layer."""
    weights, size = array("weight_ih"), module.hidden_size
    projected = weights.shape[1] != size
    scaled = module.rescale and not projected
    v_f, v_r = array("weight_c")
    biases = np.zeros((4, size))
    if module.bias:
        biases[1:3] = array("bias").reshape(2, size)
    parameters = {"v_f": v_f, "v_r": v_r}
    for gate, values, bias in zip(
        "ufrk", weights.reshape(-1, size, weights.shape[1]), biases, strict=False
    ):
        parameters |= {f"{gate}.x": values, gate: bias}
    if scaled:
        parameters["a"] = np.full(size, module.scale)
    cell = SRU(weights.shape[1], size, module.activation, scaled)
    return Layer(name, "SRU", trace(cell), parameters)


def layer_norm_layer(
    module: modules.LayerNormLSTM,
    path: str,
    layer_name: str,
    suffix: str,
    array: Callable[[str], np.ndarray],
) -> Layer:
    """A layer of an LSTM with layer normalisation."""
    size, gates = module.hidden_size, module.gates
    parameters: dict[str, np.ndarray] = {}
    for operand, weights in (("x", array("weight_ih")), ("h", array("weight_hh"))):
        for gate, values in zip(gates, np.split(weights, len(gates)), strict=True):
            parameters |= {f"{gate}_{operand}.{operand}": values}
            parameters |= {f"{gate}_{operand}": np.zeros(size)}
    for norm, parts in (("norm_x", len(gates)), ("norm_h", len(gates)), ("norm_c", 1)):
        name = f"{norm}_{suffix}"
        child = getattr(module, name)
        gain = as_array(child.weight, f"{path}.{name}.weight")
        bias = np.zeros(len(gain))
        if child.bias is not None:
            bias = as_array(child.bias, f"{path}.{name}.bias")
        for part, pair in enumerate(zip(np.split(gain, parts), np.split(bias, parts), strict=True)):
            names = (f"{norm}_gain_{part}", f"{norm}_bias_{part}")
            parameters |= dict(zip(names, pair, strict=True))
    cell = LayerNormLSTM(array("weight_ih").shape[1], size, module.form, module.eps)
    return Layer(layer_name, "LayerNormLSTM", trace(cell), parameters)
