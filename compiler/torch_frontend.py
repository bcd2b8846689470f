"""From torch modules to networks: the module's forward is traced and its tensors followed."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn
from torch.nn.parameter import is_lazy

from .axes import BATCH_FIRST, TIME_FIRST, AxisOrderError
from .errors import UnsupportedError
from .network import LastStep, Layer, Network
from .torch_interpreter import SUPPORTED, follow, is_plain, path_of
from .torch_layers import RECURRENT
from .torch_streams import Layers

__all__ = ["from_torch", "with_axes"]


def from_torch(module: nn.Module) -> Network:
    """The network that a torch module computes at inference.

    Layers are called ``<module path>.<index>`` for recurrent modules and by their module path
    for linear ones; a module that is given directly is ``rnn``, ``lstm``, ``gru`` or ``linear``.
    Dropout does nothing, as in torch's evaluation mode, whatever mode the module is in.

    The network's data are (batch, time, features) for every module: of one that works on
    (time, batch, features), as ``batch_first=False`` says, the same sequences go in and come out.
    A recurrent module given directly, or last in an ``nn.Sequential``, gives its output sequence.

    Parameters
    ----------
    module : torch.nn.Module
        Its forward takes one tensor and returns one: the whole output sequence or its last
        timestep. It is not changed.

    Raises
    ------
    UnsupportedError
        For what cannot be taken, by name.
    DeltaloomError
        For weights that are not finite, or sizes that do not fit each other.
    """
    return with_axes(module)[0]


def with_axes(module: nn.Module) -> tuple[Network, tuple[str, ...]]:
    """What :func:`from_torch` gives, and the axes of the module's own input."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"Module must be a torch.nn.Module, not {module!r}")
    _check_signature(module)
    root = _Root(module)
    with _evaluation_mode(module):
        _check_parts(root)
        graph = _trace(root)
    axes = BATCH_FIRST
    try:
        layers = follow(graph, root, axes)
    except AxisOrderError as batch_first_error:
        axes = TIME_FIRST
        try:
            layers = follow(graph, root, axes)
        except AxisOrderError:
            raise batch_first_error from None
    network = Network(_with_unique_last_step(layers))
    network.check()
    return network, axes


class _Root(nn.Module):
    """Calls the user's module, so that arguments with defaults take them."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        plain = is_plain(m, *RECURRENT, nn.Linear)
        return plain or super().is_leaf_module(m, module_qualified_name)


def _with_unique_last_step(layers: Layers) -> Layers:
    """The layers, where the selection has a name that no module of the user's has."""
    taken = {layer.name for layer in layers if isinstance(layer, Layer)}
    name = "last_step"
    while name in taken:
        name += "_"
    return tuple(LastStep(name) if isinstance(layer, LastStep) else layer for layer in layers)


def _check_signature(module: nn.Module) -> None:
    signature = inspect.signature(module.forward)
    try:
        signature.bind(None)
    except TypeError:
        raise UnsupportedError(
            f"Forward of {type(module).__name__} takes {signature}; supported is one tensor"
        ) from None


def _check_parts(root: nn.Module) -> None:
    for path, module in root.named_modules():
        subject = f"Module {path_of(path, module)} ({type(module).__name__})"
        if any(map(is_lazy, module.parameters(recurse=False))):
            raise UnsupportedError(f"{subject} must be initialized; run it once on data")
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            raise UnsupportedError(
                f"{subject} has forward hooks or a replaced forward, which are not followed; "
                f"remove them"
            )


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards all of its attributes are as they were."""
    saved = {part: dict(vars(part)) for part in module.modules()}
    module.eval()
    during = {part: dict(vars(part)) for part in saved}
    try:
        yield
        for part, attributes in during.items():
            changed = [
                name
                for name, value in vars(part).items()
                if name not in attributes or attributes[name] is not value
            ]
            if changed:
                raise UnsupportedError(
                    f"Forward of {type(part).__name__} changes its own attribute "
                    f"{changed[0]}; supported is a forward whose output depends on its input alone"
                )
    finally:
        for part, attributes in saved.items():
            vars(part).clear()
            vars(part).update(attributes)


def _trace(root: _Root) -> fx.Graph:
    try:
        return _Tracer().trace(root)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(
            f"Forward of {type(root.module).__name__} cannot be traced ({reason}); supported are "
            f"{SUPPORTED}"
        ) from error
