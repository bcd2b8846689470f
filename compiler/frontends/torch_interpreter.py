"""Interprets a traced torch module with streams in place of tensors."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from ..axes import FRAME, PLANES, AxisOrderError, axes_text
from ..errors import UnsupportedError
from ..network import Network
from .builder import Builder
from .stream_attention import Part
from .stream_context import Context
from .stream_operations import multiply
from .tensors import Stream, time_of
from .torch_arrays import as_array
from .torch_attention_parts import follow_attention, follow_attention_module
from .torch_functions import FUNCTIONS, HANDLERS, INPLACE
from .torch_modules import IDENTITIES, Handler, modules
from .torch_states import GivenState
from .torch_values import Recurrence, as_stream

__all__ = ["SUPPORTED", "Followed", "Interpreter", "is_plain", "path_of"]

SUPPORTED = (
    "nn.RNN, nn.LSTM, nn.GRU, those of deltaloom.nn, nn.Linear, nn.Conv1d, nn.Embedding, "
    "nn.BatchNorm1d, nn.LayerNorm, nn.Flatten, nn.Sequential, nn.Dropout, nn.Identity, "
    "attention by scaled_dot_product_attention or spelled out, activations that are functions of "
    "an element, sums, factors, torch.cat, mean and max over time, the last timestep, and argmax"
)


ARITHMETIC = (
    *(operator.add, operator.sub, operator.mul, operator.neg),
    *(operator.floordiv, operator.truediv),
)
"""What is computed with lengths of axes that are known."""


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether the module computes what torch's own module of one of the kinds does."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def first_of(kwargs: dict[str, Any]) -> Any:
    """The first argument, which is taken away where it is given by name."""
    name = next((name for name in ("input", "x", "query", "tensors") if name in kwargs), "")
    return kwargs.pop(name, None)


def path_of(target: str, module: nn.Module) -> str:
    """A module's path as its user sees it."""
    path = target.removeprefix("module").removeprefix(".")
    return path or next(
        (kind.__name__.lower() for kind in modules() if isinstance(module, kind)),
        type(module).__name__,
    )


class Followed:
    """What a traced module computes: the network, the input that the output follows, its axes."""

    def __init__(self, network: Network, root: str, axes: tuple[str, ...]):
        self.network = network
        self.root = root
        self.axes = axes


class Interpreter:
    """Follows a traced module once.

    Parameters
    ----------
    root : torch.nn.Module
        Holds the parameters; its one child ``module`` is the user's.
    axes : mapping of str to tuple of str
        By input: the axes of its tensor, in order.
    places : mapping of int to str
        By place among the root's arguments: the input that it is. The others are states.
    max_steps : mapping of str to int or None
        By input: timesteps of the longest sequence.
    """

    def __init__(
        self,
        root: nn.Module,
        axes: Mapping[str, tuple[str, ...]],
        places: Mapping[int, str],
        max_steps: Mapping[str, int | None],
    ):
        self.root = root
        self.axes = axes
        self.places = places
        self.builder = Builder(max_steps)
        self.modules: Mapping[type[nn.Module], Handler] = modules()
        self.names: dict[int, str] = {}
        self.called: set[str] = set()
        self.values: dict[fx.Node, Any] = {}

    def run(self, graph: fx.Graph) -> Followed:
        """The network of ``graph``, a trace of the root.

        Raises
        ------
        AxisOrderError
            If an operation reads its input's axes in another order; :attr:`values` has what was
            followed until then.
        UnsupportedError
            For what is not supported, by name.
        """
        values = self.values
        for node in graph.nodes:
            args = fx.map_arg(node.args, values.__getitem__)
            kwargs = fx.map_arg(node.kwargs, values.__getitem__)
            match node.op:
                case "placeholder":
                    values[node] = self._argument(len(values))
                case "get_attr":
                    values[node] = operator.attrgetter(str(node.target))(self.root)
                    self.names[id(values[node])] = str(node.target)
                case "call_module":
                    values[node] = self._module(node, args, dict(kwargs))
                case "call_function" | "call_method":
                    values[node] = self._operation(node, args, dict(kwargs))
                case "output":
                    return self._output(args[0])
        raise AssertionError("a traced graph has an output")

    def _argument(self, place: int) -> Stream | GivenState:
        root = self.places.get(place)
        if root is None:
            return GivenState()
        axes = self.axes[root]
        sizes = tuple(time_of(root) if axis == "time" else axis for axis in axes)
        return Stream((root,), axes, sizes)

    def _output(self, value: Any) -> Followed:
        user = self.root.get_submodule("module")
        if isinstance(value, Recurrence) and is_plain(user, *self.modules, nn.Sequential):
            value = value.output
        name = type(user).__name__
        if isinstance(value, tuple | list | dict):
            raise UnsupportedError(
                f"Forward of {name} returns {len(value)} values; supported is one tensor: a "
                f"sequence, or one vector for each"
            )
        stream = as_stream(value, f"Output of {name}")
        root = self.builder.length(stream.parts[0]).root
        given = self.axes[root]
        order = [axis for axis in given if axis in ("batch", "time")]
        found = [axis for axis in stream.axes if axis in ("batch", "time")]
        rest = tuple(axis for axis in stream.axes if axis not in ("batch", "time"))
        if rest == (PLANES,):
            raise UnsupportedError(
                f"Output of {name} has the channels of a frame one after the other; supported are "
                f"frames as they are, and linear layers"
            )
        if found not in (order, ["batch"]) or rest not in ((), ("features",), FRAME):
            raise AxisOrderError(
                f"Output of {name} has axes {axes_text(stream.axes)} where its input has "
                f"{axes_text(given)}; supported is the same order of batch and time"
            )
        if stream.parts[0] in self.axes:
            raise UnsupportedError(
                f"Output of {name} must be computed; it is the {stream.parts[0]} itself"
            )
        return Followed(self.builder.network(stream.parts[0]), root, stream.axes)

    def _module(self, node: fx.Node, args: Any, kwargs: dict[str, Any]) -> Any:
        module = self.root.get_submodule(str(node.target))
        path = path_of(str(node.target), module)
        subject = f"Module {path} ({type(module).__name__})"
        value, *args = args if args else [first_of(kwargs)]
        if is_plain(module, *IDENTITIES):
            return value
        kind = next((kind for kind in self.modules if is_plain(module, kind)), None)
        if kind is None:
            raise UnsupportedError(f"{subject} is not supported; supported are {SUPPORTED}")
        context = Context(subject, path, self.builder)
        if any(True for _ in module.parameters()):
            self._called_once(path, subject)
        if isinstance(value, Part):
            attended = follow_attention_module(context, module, value)
            if attended is not None:
                return attended
        stream = as_stream(value, subject)
        if getattr(module, "inplace", False):
            self._changes(stream, subject)
        return self._follow(self.modules[kind], context, module, stream, *args, **kwargs)

    def _operation(self, node: fx.Node, args: Any, kwargs: dict[str, Any]) -> Any:
        """A function, or a tensor's method."""
        if node.target in ARITHMETIC and all(isinstance(value, int | float) for value in args):
            return node.target(*args)  # type: ignore[operator]
        method = node.op == "call_method"
        operation = node.target if method else FUNCTIONS.get(node.target)
        name = str(node.target if method else getattr(node.target, "__name__", node.target))
        subject = f"{'Method' if method else 'Function'} {name}"
        handler = HANDLERS.get(str(operation))
        attended = follow_attention(
            Context(subject, name, self.builder), str(operation), args, kwargs
        )
        if attended is not None:
            return attended
        if operation == "linear":
            return self._linear(subject, *args, **kwargs)
        if handler is None:
            raise UnsupportedError(f"{subject} is not supported; supported are {SUPPORTED}")
        value, *args = args if args else [first_of(kwargs)]
        if operation in INPLACE or kwargs.get("inplace", False):
            self._changes(as_stream(value, subject), subject)
        return self._follow(handler, Context(subject, name, self.builder), value, *args, **kwargs)

    def _follow(self, handler: Any, context: Context, *args: Any, **kwargs: Any) -> Any:
        try:
            return handler(context, *args, **kwargs)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            for value in args:  # a value of another kind than the operation takes
                if isinstance(value, tuple) or not isinstance(value, nn.Module | Stream):
                    as_stream(value, context.subject)
                    break
            raise UnsupportedError(f"{context.subject} cannot be followed: {error}") from error

    def _linear(self, subject: str, input: Any, weight: Any, bias: Any = None) -> Stream:
        stream = as_stream(input, subject)
        for values in (weight, bias):
            if not isinstance(values, torch.Tensor | None):
                raise UnsupportedError(
                    f"{subject} has computed weights; supported are the module's own parameters"
                )
        name = self.names[id(weight)].removeprefix("module.").removesuffix(".weight")
        self._called_once(name, f"{subject} with the weights of {name}")
        w = as_array(weight, f"{name}.weight")
        b = np.zeros(len(w)) if bias is None else as_array(bias, f"{name}.bias")
        return multiply(Context(subject, name, self.builder), stream, w, b)

    def _changes(self, stream: Stream, subject: str) -> None:
        """Refuse to change a tensor in place that anything else reads."""
        aliases = (
            node
            for node, value in self.values.items()
            if isinstance(value, Stream) and value.parts == stream.parts
        )
        if any(len(alias.users) > 1 for alias in aliases):
            raise UnsupportedError(
                f"{subject} has inplace=True and changes a tensor that is used elsewhere too; "
                f"supported is inplace=False there"
            )

    def _called_once(self, name: str, subject: str) -> None:
        if name in self.called:
            raise UnsupportedError(
                f"{subject} is called more than once; supported is one call, as a layer's "
                f"hardware has one place in the network"
            )
        self.called.add(name)
