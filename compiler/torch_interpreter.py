"""Interprets a traced torch module with streams in place of tensors."""

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from .axes import axes_text
from .errors import UnsupportedError
from .nn.stack import RecurrentStack
from .torch_layers import (
    RECURRENT,
    apply_activation,
    apply_layer_norm,
    apply_linear,
    apply_recurrent,
)
from .torch_streams import (
    CellState,
    Hidden,
    InitialState,
    Layers,
    Recurrence,
    Shape,
    Stream,
    as_stream,
)

__all__ = ["SUPPORTED", "follow", "is_plain", "path_of"]

SUPPORTED = (
    "nn.RNN, nn.LSTM, nn.GRU, those of deltaloom.nn, nn.Linear, nn.Sequential, nn.Dropout, "
    "nn.Identity, the last timestep, and relu, tanh and sigmoid after a layer"
)
IDENTITIES = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}
FUNCTIONS: dict[Any, str] = {  # by the name of the tensor method that does the same, if any
    functional.dropout: "dropout",
    functional.linear: "linear",
    functional.relu: "relu",
    functional.sigmoid: "sigmoid",
    functional.tanh: "tanh",
    getattr: "getattr",
    operator.getitem: "getitem",
    torch.permute: "permute",
    torch.relu: "relu",
    torch.select: "select",
    torch.sigmoid: "sigmoid",
    torch.squeeze: "squeeze",
    torch.tanh: "tanh",
    torch.transpose: "transpose",
    torch.zeros: "zeros",
}


def is_plain(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether the module computes what torch's own module of one of the kinds does."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def path_of(target: str, module: nn.Module) -> str:
    """A module's path as its user sees it."""
    path = target.removeprefix("module").removeprefix(".")
    return path or next(
        (kind.__name__.lower() for kind in (*RECURRENT, nn.Linear) if isinstance(module, kind)),
        type(module).__name__,
    )


def follow(graph: fx.Graph, root: nn.Module, axes: tuple[str, ...]) -> Layers:
    """The layers that a traced module computes one after the other.

    Parameters
    ----------
    graph : torch.fx.Graph
        Trace of ``root``, whose one child ``module`` is the user's.
    root : torch.nn.Module
        Holds the parameters.
    axes : tuple of str
        Axes of the input, in order.

    Raises
    ------
    AxisOrderError
        If a recurrent module reads its input in another order.
    UnsupportedError
        For what is not a chain of supported layers.
    """
    return _Interpreter(root, axes).run(graph)


class _Interpreter:
    def __init__(self, root: nn.Module, axes: tuple[str, ...]):
        self.root = root
        self.axes = axes
        self.names: dict[int, str] = {}
        self.called: set[str] = set()
        self.values: dict[fx.Node, Any] = {}

    def run(self, graph: fx.Graph) -> Layers:
        values = self.values
        for node in graph.nodes:
            args = fx.map_arg(node.args, values.__getitem__)
            kwargs = fx.map_arg(node.kwargs, values.__getitem__)
            match node.op:
                case "placeholder":
                    values[node] = Stream((), self.axes)
                case "get_attr":
                    values[node] = operator.attrgetter(str(node.target))(self.root)
                    self.names[id(values[node])] = str(node.target)
                case "call_module":
                    values[node] = self._module(node, args, kwargs)
                case "call_function" | "call_method":
                    values[node] = self._operation(node, args, kwargs)
                case "output":
                    return self._output(args[0])
        raise AssertionError("a traced graph has an output")

    def _output(self, value: Any) -> Layers:
        user = self.root.get_submodule("module")
        if isinstance(value, Recurrence) and is_plain(user, *RECURRENT, nn.Sequential):
            value = value.output
        name = type(user).__name__
        if isinstance(value, tuple | list | dict):
            raise UnsupportedError(
                f"Forward of {name} returns {len(value)} values; supported is one tensor: the "
                f"whole output sequence or its last timestep"
            )
        stream = as_stream(value, f"Output of {name}")
        if stream.axes not in (self.axes, ("batch", "features")):
            raise UnsupportedError(
                f"Output of {name} has axes {axes_text(stream.axes)} where its input has "
                f"{axes_text(self.axes)}; supported is the same order"
            )
        return stream.layers

    def _module(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        module = self.root.get_submodule(str(node.target))
        path = path_of(str(node.target), module)
        subject = f"Module {path} ({type(module).__name__})"
        kinds: tuple[type[nn.Module], ...] = (
            *(*RECURRENT, nn.Linear, nn.LayerNorm),
            *(*ACTIVATIONS, *IDENTITIES),
        )
        kind = next((kind for kind in kinds if is_plain(module, kind)), None)
        if kind is None:
            raise UnsupportedError(f"{subject} is not supported; supported are {SUPPORTED}")
        value = args[0] if args else kwargs.get("input", kwargs.get("x"))
        if kind in IDENTITIES:
            return value
        stream = as_stream(value, subject)
        if kind in ACTIVATIONS:
            inplace = isinstance(module, nn.ReLU) and module.inplace
            return self._activation(node, ACTIVATIONS[kind], subject, inplace)
        self._called_once(path, subject)
        if isinstance(module, nn.Linear):
            return apply_linear(path, stream, module.weight, module.bias)
        if isinstance(module, nn.LayerNorm):
            return apply_layer_norm(module, path, stream)
        assert isinstance(module, nn.RNNBase | RecurrentStack)
        name = "hx" if isinstance(module, nn.RNNBase) else "state"
        start = args[1] if len(args) > 1 else kwargs.get(name)
        return apply_recurrent(module, path, stream, start)

    def _operation(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """A function, or a tensor's method."""
        method = node.op == "call_method"
        operation = node.target if method else FUNCTIONS.get(node.target)
        name = node.target if method else getattr(node.target, "__name__", node.target)
        subject = f"{'Method' if method else 'Function'} {name}"
        value = args[0] if args else kwargs.get("input")
        match operation, value:
            case "relu" | "sigmoid" | "tanh", _:
                inplace = kwargs.get("inplace", False)
                return self._activation(node, str(operation), subject, inplace)
            case "dropout", _:
                if kwargs["training"] and kwargs["p"]:
                    raise UnsupportedError(
                        f"{subject} is called with training=True and drops at inference too; "
                        f"supported is training=self.training"
                    )
                return value
            case "linear", _:
                return self._functional_linear(subject, *args, **kwargs)
            case "contiguous" | "clone" | "detach" | "float", _:
                return value
            case "getitem", Shape():
                return value
            case "getitem", tuple() if args[1] in range(-len(value), len(value)):
                return value[args[1]]
            case "getitem", Stream() | Hidden():
                return value[args[1]]
            case "permute" | "select" | "squeeze" | "transpose", Stream() | Hidden() if hasattr(
                value, str(operation)
            ):
                try:
                    return getattr(value, str(operation))(*args[1:], **kwargs)
                except (IndexError, TypeError) as error:
                    raise UnsupportedError(f"{subject} cannot be followed: {error}") from error
            case "size" | "dim", _:
                return Shape()
            case "getattr", _ if args[1] in ("shape", "device", "dtype"):
                return Shape()
            case "zeros" | "new_zeros", _:
                return InitialState()
            case "to" | "cuda" | "double" | "requires_grad_", InitialState():
                return value
        if isinstance(value, tuple | CellState):
            as_stream(value, subject)
        raise UnsupportedError(f"{subject} is not supported; supported are {SUPPORTED}")

    def _functional_linear(self, subject: str, input: Any, weight: Any, bias: Any = None) -> Stream:
        stream = as_stream(input, subject)
        for values in (weight, bias):
            if not isinstance(values, torch.Tensor | None):
                raise UnsupportedError(
                    f"{subject} has computed weights; supported are the module's own parameters"
                )
        name = self.names[id(weight)].removeprefix("module.").removesuffix(".weight")
        self._called_once(name, f"{subject} with the weights of {name}")
        return apply_linear(name, stream, weight, bias)

    def _activation(
        self, node: fx.Node, function: str, subject: str, inplace: bool = False
    ) -> Stream:
        stream = as_stream(self.values[node.all_input_nodes[0]], subject)
        aliases = (
            other
            for other, value in self.values.items()
            if isinstance(value, Stream) and value.last_layer is stream.last_layer
        )
        if inplace and any(len(alias.users) > 1 for alias in aliases):
            raise UnsupportedError(
                f"{subject} has inplace=True and changes a tensor that is used elsewhere too; "
                f"supported is inplace=False there"
            )
        return apply_activation(function, subject, stream)

    def _called_once(self, name: str, subject: str) -> None:
        if name in self.called:
            raise UnsupportedError(
                f"{subject} is called more than once; supported is one call, as a layer's "
                f"hardware has one place in the chain"
            )
        self.called.add(name)
