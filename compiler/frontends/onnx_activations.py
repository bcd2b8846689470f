"""Activations of ONNX, as operators and within recurrent operators."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..functions import named
from ..graph import Activation, Graph
from .onnx_node import Node
from .onnx_values import Filled
from .stream_elementwise import activate, known
from .tensors import Stream

__all__ = ["ACTIVATIONS", "read_functions", "with_functions"]

NEVER = 65536.0  # where a softplus becomes a straight line in torch and nowhere in ONNX

OPERATORS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "Abs": lambda _: "abs",
    "Exp": lambda _: "exp",
    "Relu": lambda _: "relu",
    "Sigmoid": lambda _: "sigmoid",
    "Tanh": lambda _: "tanh",
    "Softsign": lambda _: "softsign",
    "Mish": lambda _: "mish",
    "Softplus": lambda _: named("softplus", 1, NEVER),
    "HardSwish": lambda _: "hard_swish",
    "Elu": lambda a: named("elu", a.get("alpha", 1.0), 1, 1),
    "Celu": lambda a: named("elu", a.get("alpha", 1.0), 1, 1 / a.get("alpha", 1.0)),
    "Selu": lambda a: named(
        "elu", a.get("alpha", 1.6732632423543772), a.get("gamma", 1.0507009873554805), 1
    ),
    "LeakyRelu": lambda a: named("leaky_relu", a.get("alpha", 0.01)),
    "HardSigmoid": lambda a: named("hard_sigmoid", a.get("alpha", 0.2), a.get("beta", 0.5)),
    "Gelu": lambda a: {"none": "gelu", "tanh": "gelu_tanh"}[a.get("approximate", "none")],
}

RECURRENT: Mapping[str, tuple[Mapping[str, float], Callable[..., str]]] = {
    "relu": ({}, lambda: "relu"),
    "tanh": ({}, lambda: "tanh"),
    "sigmoid": ({}, lambda: "sigmoid"),
    "softsign": ({}, lambda: "softsign"),
    "softplus": ({}, lambda: named("softplus", 1, NEVER)),
    "affine": ({"alpha": 1.0, "beta": 0.0}, lambda alpha, beta: named("linear", alpha, beta)),
    "leakyrelu": ({"alpha": 0.01}, lambda alpha: named("leaky_relu", alpha)),
    "scaledtanh": (
        {"alpha": 1.0, "beta": 1.0},
        lambda alpha, beta: named("scaled_tanh", alpha, beta),
    ),
    "hardsigmoid": (
        {"alpha": 0.2, "beta": 0.5},
        lambda alpha, beta: named("hard_sigmoid", alpha, beta),
    ),
    "elu": ({"alpha": 1.0}, lambda alpha: named("elu", alpha, 1, 1)),
}

"""By name in small letters: alpha and beta with their defaults, as far as there are, and ours."""

DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}


def activation(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """An operator of :data:`OPERATORS`."""
    (stream,) = arguments
    if not isinstance(stream, Stream):
        node.stream(stream)
    function = known(node.subject, lambda: OPERATORS[node.kind](node.attributes))
    return (activate(node, stream, function.name),)


def clip(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Clip`` between two constants."""
    stream, *bounds = arguments
    if not isinstance(stream, Stream):
        node.stream(stream)
    given = [node.attributes.get("min"), node.attributes.get("max")]
    for place, value in enumerate(bounds):
        given[place] = number(node, value)
    low, high = given
    if low is None or high is None:
        raise node.refusal("has one bound", "min and max")
    function = known(node.subject, lambda: named("hard_tanh", low, high))
    return (activate(node, stream, function.name),)


def leaky(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``PRelu`` with one slope for all features."""
    stream, slope = node.stream(arguments[0]), number(node, arguments[1])
    return (activate(node, stream, known(node.subject, lambda: named("leaky_relu", slope)).name),)


def number(node: Node, value: Any) -> float:
    if isinstance(value, Filled):
        return value.value
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise node.refusal("has a computed parameter, or several", "one number")
    return float(value.ravel()[0])


def read_functions(
    kind: str, attributes: Mapping[str, Any], count: int, subject: str
) -> list[tuple[str, ...]]:
    """Functions of each direction of a recurrent operator: f, g and h as far as it has them.

    ``activation_alpha`` and ``activation_beta`` belong to the functions that take such a number,
    in their order; functions without one have ONNX' defaults.
    """
    default = DEFAULTS[kind]
    given = [name.lower() for name in attributes.get("activations", [])] or list(default) * count
    unknown = [name for name in given if name not in RECURRENT]
    if unknown or len(given) != len(default) * count:
        raise UnsupportedError(
            f"{subject} has the activations {', '.join(attributes['activations'])}; supported are "
            f"{len(default)} for each direction, of {', '.join(RECURRENT)}"
        )
    numbers = {what: iter(attributes.get(f"activation_{what}", [])) for what in ("alpha", "beta")}
    names = []
    for name in given:
        defaults, make = RECURRENT[name]
        found = {what: float(next(numbers[what], least)) for what, least in defaults.items()}
        names.append(known(subject, partial(make, **found)).name)
    for what, left in numbers.items():
        if next(left, None) is not None:
            raise UnsupportedError(
                f"{subject} has more numbers in activation_{what} than activations that take one"
            )
    return [tuple(names[p : p + len(default)]) for p in range(0, len(names), len(default))]


def with_functions(graph: Graph, kind: str, functions: Sequence[str]) -> Graph:
    """A cell's graph with functions in place of its own, which are those that ONNX assumes.

    f is the function of all gates, g that of what is new, and h that of the cell state on its way
    out: the order in which an LSTM computes both last ones.
    """
    roles = dict(zip(("f", "g", "h"), functions, strict=False))
    found, tangents = [], 0
    for node in graph.nodes:
        if isinstance(node, Activation):
            role = "f"
            if kind != "RNN" and node.function == "tanh":
                role, tangents = "gh"[tangents], tangents + 1
            node = replace(node, function=roles[role])
        found.append(node)
    return replace(graph, nodes=tuple(found))


ACTIVATIONS: dict[str, Callable[[Node, list[Any]], tuple[Any, ...]]] = {
    **dict.fromkeys(OPERATORS, activation),
    "Clip": clip,
    "PRelu": leaky,
}
