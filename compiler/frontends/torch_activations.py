"""Activations of torch, as modules and as functions, and what each computes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UnsupportedError
from ..functions import Function, named
from ..nn.activation import Activation
from .stream_context import Context
from .stream_elementwise import activate, known
from .tensors import Stream
from .torch_values import as_stream

__all__ = ["ACTIVATION_CALLS", "ACTIVATION_HANDLERS", "ACTIVATION_MODULES", "apply_activation"]

SELU = named("elu", 1.6732632423543772, 1.0507009873554805, 1.0)


def gelu(approximate: str = "none") -> str:
    return {"none": "gelu", "tanh": "gelu_tanh"}[approximate]


MODULES: Mapping[type[nn.Module], Callable[[Any], str]] = {
    nn.ReLU: lambda m: "relu",
    nn.Sigmoid: lambda m: "sigmoid",
    nn.Tanh: lambda m: "tanh",
    nn.Softplus: lambda m: named("softplus", m.beta, m.threshold),
    nn.Softsign: lambda m: "softsign",
    nn.SiLU: lambda m: "silu",
    nn.Mish: lambda m: "mish",
    nn.GELU: lambda m: gelu(m.approximate),
    nn.ELU: lambda m: named("elu", m.alpha, 1, 1),
    nn.CELU: lambda m: named("elu", m.alpha, 1, 1 / m.alpha),
    nn.SELU: lambda m: SELU,
    nn.LeakyReLU: lambda m: named("leaky_relu", m.negative_slope),
    nn.Hardsigmoid: lambda m: named("hard_sigmoid", 1 / 6, 0.5),
    # and ReLU6, which is one
    nn.Hardtanh: lambda m: named("hard_tanh", m.min_val, m.max_val),
    nn.Hardswish: lambda m: "hard_swish",
    nn.Softshrink: lambda m: named("soft_shrink", m.lambd),
    nn.LogSigmoid: lambda m: "log_sigmoid",
}

ACTIVATION_MODULES: tuple[type[nn.Module], ...] = (*MODULES, Activation)

FAMILIES: Mapping[str, Callable[..., str]] = {
    "relu": lambda: "relu",
    "sigmoid": lambda: "sigmoid",
    "tanh": lambda: "tanh",
    "exp": lambda: "exp",
    "relu6": lambda: named("hard_tanh", 0, 6),
    "softplus": lambda beta=1, threshold=20: named("softplus", beta, threshold),
    "softsign": lambda: "softsign",
    "silu": lambda: "silu",
    "mish": lambda: "mish",
    "gelu": gelu,
    "elu": lambda alpha=1.0: named("elu", alpha, 1, 1),
    "celu": lambda alpha=1.0: named("elu", alpha, 1, 1 / alpha),
    "selu": lambda: SELU,
    "leaky_relu": lambda negative_slope=0.01: named("leaky_relu", negative_slope),
    "hardsigmoid": lambda: named("hard_sigmoid", 1 / 6, 0.5),
    "hardtanh": lambda min_val=-1.0, max_val=1.0: named("hard_tanh", min_val, max_val),
    "hardswish": lambda: "hard_swish",
    "softshrink": lambda lambd=0.5: named("soft_shrink", lambd),
    "logsigmoid": lambda: "log_sigmoid",
}
"""By torch's names, which are those of tensors' methods where there are any."""

ACTIVATION_CALLS: Mapping[Any, str] = {
    **{getattr(functional, name): name for name in FAMILIES if hasattr(functional, name)},
    **{getattr(torch, name): name for name in FAMILIES if hasattr(torch, name)},
    torch.relu_: "relu_",
    torch.sigmoid_: "sigmoid_",
    torch.tanh_: "tanh_",
}


def apply_activation(context: Context, module: nn.Module, stream: Stream) -> Stream:
    """A module of :data:`ACTIVATION_MODULES` on a stream."""
    if isinstance(module, Activation):
        return activate(context, stream, own_function(module))
    kind = next(kind for kind in MODULES if type(module).forward is kind.forward)
    return activate(context, stream, known(context.subject, lambda: MODULES[kind](module)))


def handler_of(name: str) -> Callable[..., Stream]:
    """What follows a call; whether it works in place is seen to before."""

    def handler(
        context: Context, value: Any, *arguments: Any, inplace: bool = False, **options: Any
    ) -> Stream:
        stream = as_stream(value, context.subject)
        function = known(context.subject, lambda: FAMILIES[name](*arguments, **options))
        return activate(context, stream, function)

    return handler


ACTIVATION_HANDLERS: Mapping[str, Callable[..., Stream]] = {
    **{name: handler_of(name) for name in FAMILIES},
    **{f"{name}_": handler_of(name) for name in ("relu", "sigmoid", "tanh")},
}


def own_function(module: Activation) -> Function:
    """A user's own function, through torch."""

    def real(values: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(np.array(values, dtype=np.float64))
        with torch.no_grad():
            result = module.function(given)
        if not isinstance(result, Tensor) or result.shape != given.shape:
            raise UnsupportedError(
                f"Function '{module.name}' of an activation must give one number for each that it "
                f"takes"
            )
        found: np.ndarray = result.double().numpy()
        return found

    return Function(module.name, real)
