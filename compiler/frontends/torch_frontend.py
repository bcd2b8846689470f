"""From torch modules to networks: the module's forward is traced and its tensors followed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

from torch import fx, nn
from torch.nn.parameter import is_lazy

from ..axes import BATCH_FIRST, FRAME, TIME_FIRST, AxisOrderError
from ..errors import UnsupportedError
from ..network import Network
from ..steps import Steps, steps_of
from ..wiring import INPUT, MEMORY
from .pair_roles import check_roles
from .torch_arguments import argument_names, root_of, sequences_of
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


def from_torch(module: nn.Module, max_steps: Steps = None) -> Network:
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
        Its forward takes one tensor and returns one: a sequence, or one vector for each. It may
        take a second sequence, of other timesteps, from which attention has its keys and values:
        the network's memory. The order and names of both do not matter: the input is the one that
        the queries, and so the output, follow. Attention is ``deltaloom.nn.Attention``,
        ``scaled_dot_product_attention``, or spelled out as softmax of products, or of energies
        with tanh. What forward takes besides, up to two tensors, are initial states of its
        recurrent modules, or pairs of them: whoever runs the network gives states to its layers,
        or they are zero. Constants and parameters that they start from become part of the network.
        It is not changed.
    max_steps : int or mapping of str to int, optional
        Timesteps of the longest sequence, or by name those of ``input`` and ``memory``. Modules
        that walk a sequence from its end, or attend to it, need it: the hardware has room for so
        many, and longer sequences are refused.

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
    """A module's network, and how the module itself takes and gives what the network does.

    Parameters
    ----------
    network : Network
        What it computes.
    arguments : mapping of str to str
        By input of the network: the module's argument, in the order of the arguments.
    axes : mapping of str to tuple of str
        By input of the network: the axes of that argument.
    output_axes : tuple of str
        Axes of the output.
    states : int
        How many initial states the module takes besides.
    """

    network: Network
    arguments: Mapping[str, str]
    axes: Mapping[str, tuple[str, ...]]
    output_axes: tuple[str, ...]
    states: int = 0


def trace_module(module: nn.Module, max_steps: Steps = None) -> Traced:
    """What :func:`from_torch` gives, with the arguments and axes that the module itself has."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"Module must be a torch.nn.Module, not {module!r}")
    root = root_of(module)
    with _evaluation_mode(module):
        _check_parts(root)
        graph = _trace(root)
    sequences = sequences_of(graph, root)
    names = argument_names(module)
    inputs = dict(zip(sequences, (INPUT, MEMORY), strict=False))
    found, axes = _follow(graph, root, inputs, max_steps)
    if found.root != INPUT:  # the output follows what comes second
        inputs = dict(zip(sequences, (MEMORY, INPUT), strict=True))
        found, axes = _follow(graph, root, inputs, max_steps)
    arguments = {name: names[place] for place, name in inputs.items()}
    check_roles(f"Output of {type(module).__name__}", found.network, arguments)
    found.network.check()
    states = sum(node.op == "placeholder" for node in graph.nodes) - len(sequences)
    return Traced(found.network, arguments, axes, found.axes, states)


def _follow(
    graph: fx.Graph, root: nn.Module, inputs: Mapping[int, str], max_steps: Steps
) -> tuple[Followed, dict[str, tuple[str, ...]]]:
    """The trace with the first orders of axes that it can be followed with.

    ``inputs`` are those of the network by the place of the argument. If there is no such order,
    the error is that of the one that led furthest.
    """
    furthest: tuple[int, AxisOrderError] | None = None
    steps = steps_of(max_steps, inputs.values())
    for orders in product(ORDERS, repeat=len(inputs)):
        axes = dict(zip(inputs.values(), orders, strict=True))
        interpreter = Interpreter(root, axes, inputs, steps)
        try:
            return interpreter.run(graph), axes
        except AxisOrderError as error:
            if furthest is None or len(interpreter.values) > furthest[0]:
                furthest = len(interpreter.values), error
    assert furthest is not None
    raise furthest[1]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        plain = is_plain(m, *modules())
        return plain or super().is_leaf_module(m, module_qualified_name)


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


def _trace(root: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(root)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        name = type(root.get_submodule("module")).__name__
        raise UnsupportedError(
            f"Forward of {name} cannot be traced ({reason}); supported are {SUPPORTED}"
        ) from error
