"""From a float model to a module that trains in integer arithmetic."""

from typing import Any

import torch
from torch import nn

from ..compiler.errors import DeltaloomError, UnsupportedError
from ..compiler.frontends.torch_frontend import trace_module
from ..compiler.network import Network
from ..compiler.quantize import make_plan
from ..compiler.recipe import Recipe
from ..compiler.recipe_values import COMPENSATED
from ..compiler.steps import Steps
from .call import call_of, call_of_network
from .prepared import Prepared

__all__ = ["prepare_network"]


def prepare_network(
    model: nn.Module | Network,
    recipe: Recipe,
    calibration: Any,
    *,
    memory: Any = None,
    learn_ranges: bool = False,
    max_steps: Steps = None,
) -> Prepared:
    """A module to train, that starts with the model's weights.

    Parameters
    ----------
    model : torch.nn.Module or Network
        Its weights are copied; it is not changed. A network is called with
        (batch, time, features).
    recipe : Recipe
        Of the quantization.
    calibration : array or list of arrays
        Sample inputs, NumPy or torch, float: (batch, time, features), or a list of
        (time, features).
    memory : array or list of arrays, optional
        As ``calibration``, of a model with a memory.
    learn_ranges : bool
        Whether ranges are trained too.
    max_steps : int or mapping of str to int, optional
        Timesteps of the longest sequence, of all inputs or by name; of a module alone.
    """
    if recipe.rounding == COMPENSATED:
        raise UnsupportedError(
            f"Recipe rounding '{COMPENSATED}' rounds weights that stay; supported in training are "
            f"nearest and stochastic"
        )
    if isinstance(model, Network):
        plan = make_plan(model, calibration, recipe, memory=memory)
        return Prepared(plan, call_of_network(model), torch.float32, learn_ranges)
    if isinstance(model, Prepared):
        raise DeltaloomError("Model must be in float; this one is prepared already")
    traced = trace_module(model, max_steps)
    network = traced.network
    kept = next((layer.name for layer in network.computing if layer.steps), None)
    if kept is not None:
        raise UnsupportedError(
            f"Layer {kept} has weights that are integers already, which training would change; "
            f"supported is quantize, which keeps them"
        )
    if traced.states:
        raise UnsupportedError(
            f"Forward of {type(model).__name__} takes initial states, which cannot be trained "
            f"with; supported is a start from zeros"
        )
    types = {parameter.dtype for parameter in model.parameters()}
    dtype = torch.float64 if torch.float64 in types else torch.float32
    call = call_of(model, traced)
    if not {layer.name for layer in network.computing}.issuperset(call.stack):
        raise UnsupportedError(
            f"Module {type(model).__name__} returns final states that no layer of its own has; "
            f"supported is one that is called in a module which returns the output alone"
        )
    plan = make_plan(network, calibration, recipe, memory=memory)
    return Prepared(plan, call, dtype, learn_ranges)
