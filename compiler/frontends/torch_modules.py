"""Modules of torch on streams, by class."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import nn

from ..errors import UnsupportedError
from ..nn import Attention, ConvLSTM
from .brevitas_modules import brevitas_modules
from .stream_context import Context
from .stream_elementwise import normalise, scale
from .stream_operations import convolve, embed, multiply, pool
from .tensors import Stream
from .torch_activations import ACTIVATION_MODULES, apply_activation
from .torch_arrays import as_array
from .torch_attention import apply_attention
from .torch_frames import apply_conv_lstm
from .torch_functions import softmax
from .torch_layers import RECURRENT, apply_recurrent
from .torch_shapes import flatten
from .torch_values import Recurrence

__all__ = ["IDENTITIES", "Handler", "modules"]

Handler = Callable[..., Any]
"""Takes the context, whose stem is the module's path, the module, a stream, further arguments."""

IDENTITIES = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def recurrent(
    context: Context, module: Any, stream: Stream, hx: Any = None, *, state: Any = None
) -> Recurrence:
    return apply_recurrent(context, module, stream, state if hx is None else hx)


def frames(context: Context, module: ConvLSTM, stream: Stream, state: Any = None) -> Recurrence:
    return apply_conv_lstm(context, module, stream, state)


def linear(context: Context, module: nn.Linear, stream: Stream) -> Stream:
    weight = as_array(module.weight, f"{context.stem}.weight")
    return multiply(context, stream, weight, bias_of(context, module, len(weight)))


def bias_of(context: Context, module: nn.Module, size: int) -> np.ndarray:
    """A module's bias, zeros where it has none."""
    if module.bias is None:
        return np.zeros(size)
    return as_array(module.bias, f"{context.stem}.bias")  # type: ignore[arg-type]


def convolution(context: Context, module: nn.Conv1d, stream: Stream) -> Stream:
    """``nn.Conv1d`` of (batch, features, time), as a window and a linear layer."""
    if module.groups != 1:
        raise context.refusal(f"has groups={module.groups}", "groups=1")
    if module.padding_mode != "zeros":
        raise context.refusal(f"has padding_mode={module.padding_mode!r}", "'zeros'")
    (taps,), (stride,), (dilation,) = module.kernel_size, module.stride, module.dilation
    total = dilation * (taps - 1)
    match module.padding:
        case "same":  # an odd zero is at the end, as torch has it
            padding = (total // 2, total - total // 2)
        case "valid":
            padding = (0, 0)
        case (int(zeros),):
            padding = (zeros, zeros)
    kernel = as_array(module.weight, f"{context.stem}.weight")
    bias = bias_of(context, module, len(kernel))
    return convolve(context, stream, kernel, bias, stride, dilation, padding)


def embedding(context: Context, module: nn.Embedding, stream: Stream) -> Stream:
    """``nn.Embedding``; the row of ``padding_idx`` is a row as any other at inference."""
    if module.max_norm is not None:
        raise context.refusal(
            f"has max_norm={module.max_norm} and changes its own weights", "max_norm=None"
        )
    return embed(context, stream, as_array(module.weight, f"{context.stem}.weight"))


def batch_norm(context: Context, module: nn.BatchNorm1d, stream: Stream) -> Stream:
    """``nn.BatchNorm1d`` with its running statistics: a factor and a bias for each feature."""
    if module.running_mean is None or module.running_var is None:
        raise context.refusal(
            "has track_running_stats=False and depends on the whole batch",
            "track_running_stats=True",
        )
    if stream.axes not in (("batch", "features"), ("batch", "features", "time")):
        raise context.axis_error(stream, "(batch, features) or (batch, features, time)")
    mean = as_array(module.running_mean, f"{context.stem}.running_mean")
    variance = as_array(module.running_var, f"{context.stem}.running_var")
    gain = 1 / np.sqrt(variance + module.eps)
    if module.weight is not None:
        gain = gain * as_array(module.weight, f"{context.stem}.weight")
    return scale(context, stream, gain, bias_of(context, module, len(gain)) - mean * gain)


def layer_norm(context: Context, module: nn.LayerNorm, stream: Stream) -> Stream:
    shape = tuple(module.normalized_shape)
    if len(shape) != 1:
        raise context.refusal(f"has normalized_shape={shape}", "that of the features alone")
    gain = np.ones(shape)
    if module.weight is not None:
        gain = as_array(module.weight, f"{context.stem}.weight")
    return normalise(context, stream, gain, bias_of(context, module, shape[0]), module.eps)


def global_pool(function: str) -> Handler:
    def handler(context: Context, module: Any, stream: Stream) -> Stream:
        if module.output_size not in (1, (1,)):
            raise context.refusal(f"has output_size={module.output_size}", "1, one vector")
        if getattr(module, "return_indices", False):
            raise context.refusal("has return_indices=True", "the largest values alone")
        return pool(context, stream, -1, function, keep=True)

    return handler


def flat(context: Context, module: nn.Flatten, stream: Stream) -> Stream:
    return flatten(context, stream, module.start_dim, module.end_dim)


def soft(context: Context, module: Any, stream: Stream) -> Any:
    if module.dim is None:
        raise UnsupportedError(f"{context.subject} has dim=None; supported is a dim by number")
    return softmax(context, stream, module.dim)


MODULES: dict[type[nn.Module], Handler] = {
    **dict.fromkeys(RECURRENT, recurrent),
    ConvLSTM: frames,
    Attention: apply_attention,
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Embedding: embedding,
    nn.BatchNorm1d: batch_norm,
    nn.LayerNorm: layer_norm,
    **dict.fromkeys(ACTIVATION_MODULES, apply_activation),
    nn.AdaptiveAvgPool1d: global_pool("mean"),
    nn.AdaptiveMaxPool1d: global_pool("max"),
    nn.Flatten: flat,
    nn.Softmax: soft,
    nn.LogSoftmax: soft,
}


def modules() -> Mapping[type[nn.Module], Handler]:
    """Handlers by class."""
    return MODULES | brevitas_modules()
