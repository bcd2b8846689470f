"""Operators of ONNX that attention is spelled out in."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .onnx_constants import axes_of
from .onnx_node import Node
from .onnx_values import Filled, index_of
from .stream_attention import Met, Part, Scores, Times, Weights, attend_products, meet, score
from .tensors import Stream

__all__ = ["attention", "factors_of_products", "follow_attention"]


def attention(node: Node, arguments: list[Any]) -> tuple[Any, ...]:
    """``Attention`` of one head, which has queries, keys and values alone."""
    attributes = node.attributes
    if any(value is not None for value in arguments[3:]):
        raise node.refusal("has a mask or keys and values of before", "is_causal alone")
    heads = {attributes.get(f"{name}_num_heads", 1) for name in ("q", "kv")}
    if heads != {1}:
        raise node.refusal(f"has {max(heads)} heads", "one head")
    if attributes.get("softcap", 0.0) or node.outputs > 1:
        raise node.refusal("has a softcap or several outputs", "weighted sums of values alone")
    streams = [node.stream(value) for value in arguments[:3]]
    causal = bool(attributes.get("is_causal", 0))
    return (attend_products(node, streams, causal, attributes.get("scale")),)


def factors_of_products(nodes: Sequence[Any], inputs: Collection[str]) -> set[str]:
    """Tensors times a number that nothing but products of two computed tensors reads.

    ``inputs`` are the names of what the nodes compute with.
    """
    computed = set(inputs)
    for node in nodes:
        if node.op_type != "Shape" and not computed.isdisjoint(node.input):
            computed.update(node.output)
    readers: dict[str, list[bool]] = {}
    for node in nodes:
        product = node.op_type == "MatMul" and computed.issuperset(node.input)
        for name in node.input:
            readers.setdefault(name, []).append(product)
    return {
        node.output[0]
        for node in nodes
        if node.op_type in ("Mul", "Div") and all(readers.get(node.output[0], [False]))
    }


def follow_attention(
    node: Node, arguments: Sequence[Any], factor: bool
) -> tuple[Stream | Part] | None:
    """What a node gives that is a part of attention; None if it is not.

    ``factor`` says that its output is one of :func:`factors_of_products`.
    """
    match node.kind, *arguments:
        case "Mul" | "Div", Stream() as stream, number if factor:
            found = number_of(node, number)
            return None if found is None else (Times(node.stream(stream), found),)
        case "Mul", number, Stream() as stream if factor:
            found = number_of(node, number)
            return None if found is None else (Times(node.stream(stream), found),)
        case "Mul" | "Div", Scores() as scores, number:
            found = number_of(node, number)
            return None if found is None else (scores.times(found),)
        case "Mul", number, Scores() as scores:
            found = number_of(node, number)
            return None if found is None else (scores.times(found),)
        case "MatMul", Stream() | Times() as query, Stream() | Times() as key:
            return (score(node, query, key),)
        case "Add", Scores() as scores, number if number_of(node, number) is not None:
            return (scores,)  # the same for every key, which softmax takes no notice of
        case "Add", number, Scores() as scores if number_of(node, number) is not None:
            return (scores,)
        case "Add", Stream() as query, Stream() as key:
            met = meet(query, key)
            return None if met is None else (met,)
        case "Tanh", Met(query, key, False):
            return (Met(query, key, True),)
        case "MatMul", Met() as met, np.ndarray() as energies:
            return (met.scores(node, energies),)
        case "Squeeze", Scores() as scores, *_:
            (axis,) = axes_of(node.attributes, arguments, node.subject) or (-1,)
            return (scores.squeezed(node, axis),)
        case "Gather", Scores() as scores, indices if (
            index_of(indices, "indices", node.subject) == [0] and indices.ndim == 0
        ):
            return (scores.squeezed(node, node.attributes.get("axis", 0)),)
        case "Softmax", Scores() as scores:
            return (scores.weights(node, node.attributes.get("axis", -1)),)
        case "MatMul", Weights() as weights, Stream() as value:
            return (weights.of(node, value),)
    return None


def number_of(node: Node, value: Any) -> float | None:
    """What a node multiplies with, or adds; None if it is no single number."""
    if isinstance(value, Filled):
        number = value.value
    elif isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu":
        number = float(value.ravel()[0])
    else:
        return None
    if node.kind != "Div":
        return number
    if number == 0:
        raise node.refusal("divides by zero", "another constant")
    return 1 / number
