"""From torch modules to networks: the module's forward is traced and its tensors followed."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn.parameter import is_lazy

from .axes import BATCH_FIRST, FRAME, TIME_FIRST, AxisOrderError
from .errors import UnsupportedError
from .network import Network
from .torch_interpreter import SUPPORTED, Followed, Interpreter, is_plain, path_of
from .torch_modules import modules

__all__ = ["ORDERS", "Traced", "from_torch", "trace_module"]

ORDERS = (
    BATCH_FIRST,
    TIME_FIRST,
    ("batch", "features", "time"),
    BATCH_FIRST[:2],
    TIME_FIRST[:2],
    (*BATCH_FIRST[:2], *FRAME),
    (*TIME_FIRST[:2], *FRAME),
)
"""Axes that a module's input may have, the usual ones first; indices have no features."""


def from_torch(module: nn.Module, max_steps: int | None = None) -> Network:
    """The network that a torch module computes at inference.

    Layers are called ``<module path>.<index>`` for recurrent modules, with ``.forward`` and
    ``.reverse`` for two directions, and by their module path for others; a module that is given
    directly is ``rnn``, ``lstm``, ``gru`` or ``linear``. Dropout does nothing, as in torch's
    evaluation mode, whatever mode the module is in, and batch normalisation has its running
    statistics.

    The network's data are (batch, time, features) for every module: of one that works on
    (time, batch, features), as ``batch_first=False`` says, or on (batch, features, time), as
    ``nn.Conv1d`` does, the same sequences go in and come out. Indices, (batch, time) in torch, are
    (batch, time, 1). Frames, (batch, time, channels, rows, columns), are vectors with the pixels
    row after row and the channels of a pixel together: :func:`deltaloom.pixel_vectors` makes them,
    :func:`deltaloom.frames` undoes it. A recurrent module given directly, or last in an
    ``nn.Sequential``, gives its output sequence.

    Parameters
    ----------
    module : torch.nn.Module
        Its forward takes one tensor and returns one: a sequence, or one vector for each. What
        it takes besides, up to two tensors, are initial states of its recurrent modules, or pairs
        of them: whoever runs the network gives states to its layers, or they are zero. Constants
        and parameters that they start from become part of the network. It is not changed.
    max_steps : int, optional
        Timesteps of the longest sequence. Modules that walk a sequence from its end need it: the
        hardware has room for so many, and longer sequences are refused.

    Raises
    ------
    UnsupportedError
        For what cannot be taken, by name.
    DeltaloomError
        For weights that are not finite, or sizes that do not fit each other.
    """
    return trace_module(module, max_steps).network


@dataclass(frozen=True)
class Traced:
    """A module's network, the axes of its own input and output, and how many states it takes."""

    network: Network
    input_axes: tuple[str, ...]
    output_axes: tuple[str, ...]
    states: int = 0


def trace_module(module: nn.Module, max_steps: int | None = None) -> Traced:
    """What :func:`from_torch` gives, with the axes that the module itself works on."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"Module must be a torch.nn.Module, not {module!r}")
    states = _count_states(module)
    root = _ROOTS[states](module)
    with _evaluation_mode(module):
        _check_parts(root)
        graph = _trace(root)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if not all(node.users for node in inputs[1:]):
        raise _takes_too_much(module)
    found, axes = _follow(graph, root, max_steps)
    found.network.check()
    return Traced(found.network, axes, found.axes, states)


def _follow(
    graph: fx.Graph, root: nn.Module, max_steps: int | None
) -> tuple[Followed, tuple[str, ...]]:
    """The trace with the first order of axes that it can be followed with.

    If there is none, the error is that of the order that led furthest.
    """
    furthest: tuple[int, AxisOrderError] | None = None
    for axes in ORDERS:
        interpreter = Interpreter(root, axes, max_steps)
        try:
            return interpreter.run(graph), axes
        except AxisOrderError as error:
            if furthest is None or len(interpreter.values) > furthest[0]:
                furthest = len(interpreter.values), error
    assert furthest is not None
    raise furthest[1]


class _Root(nn.Module):
    """Calls the user's module, so that arguments with defaults take them."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x)


class _RootWithState(_Root):
    def forward(self, x: Any, state: Any) -> Any:  # type: ignore[override]
        return self.module(x, state)


class _RootWithStates(_Root):
    def forward(self, x: Any, first: Any, second: Any) -> Any:  # type: ignore[override]
        return self.module(x, first, second)


_ROOTS = (_Root, _RootWithState, _RootWithStates)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        plain = is_plain(m, *modules())
        return plain or super().is_leaf_module(m, module_qualified_name)


def _count_states(module: nn.Module) -> int:
    """How many initial states a module's forward takes beside its input."""
    signature = inspect.signature(module.forward)
    for count in range(len(_ROOTS)):
        try:
            signature.bind(None, *[None] * count)
        except TypeError:
            continue
        return count
    raise _takes_too_much(module)


def _takes_too_much(module: nn.Module) -> UnsupportedError:
    return UnsupportedError(
        f"Forward of {type(module).__name__} takes {inspect.signature(module.forward)}; supported "
        f"is one tensor, and up to two initial states"
    )


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
