"""What a network is made of, for programs and reports."""

from collections.abc import Mapping
from typing import Any

from .artifact import model_bytes
from .attention import ENERGIES
from .encodings import UNIT_MULTIPLIER, Integers
from .graph import Affine, Scale
from .integer import IntegerLayer
from .integer_attention import IntegerAttention
from .integer_network import IntegerNetwork
from .pwl import PiecewiseLinear, worst_error

__all__ = ["ports_of", "summary_of"]


def ports_of(network: IntegerNetwork) -> dict[str, Any]:
    """What goes in and out."""
    return {
        **{
            name: {"size": taken.size, "format": str(taken.format)}
            for name, taken in network.inputs.items()
        },
        "output": {"size": network.output_size, "format": str(network.output_format)},
        "once_a_sequence": network.once,
    }


def summary_of(network: IntegerNetwork) -> dict[str, Any]:
    """By layer: cell, sizes, formats, accumulators, tables; what goes in and out; bytes."""
    size = model_bytes(network)
    return {
        **ports_of(network),
        "layers": [
            attention_of(layer) if isinstance(layer, IntegerAttention) else layer_of(layer)
            for layer in network.multiplying
        ],
        "bytes": {
            "weights": size.weights,
            "biases": size.biases,
            "tables": size.tables,
            "float32": size.float32,
        },
    }


def layer_of(layer: IntegerLayer) -> dict[str, Any]:
    nodes = layer.graph.nodes
    affines = [affine for _, affine in layer.graph.of(Affine)]
    return {
        "name": layer.name,
        "cell": layer.cell,
        "inputs": layer.input_size,
        "units": layer.units,
        "skip": layer.skip.value,
        "theta": dict(layer.theta),
        "kept": dict(layer.kept),
        "operands": {operand.name: str(operand.format) for operand in layer.operands},
        "formats": {node.name: str(node.format) for node in nodes},
        "weights": {
            affine.key(path): str(path.format)
            if isinstance(path.encoding, Integers)
            else f"{path.encoding} {path.format}"
            for affine in affines
            for path in affine.paths
        },
        "real_scales": {
            node.name.removesuffix("_scaled"): node.multiplier / UNIT_MULTIPLIER
            for _, node in layer.graph.of(Scale)
        },
        "accumulator_bits": max(layer.sum_width(affine) for affine in affines),
        "tables": tables_of(layer.tables),
    }


def attention_of(layer: IntegerAttention) -> dict[str, Any]:
    formats = {"q": layer.query, "k": layer.key, "v": layer.value, "p": layer.weight}
    formats |= {"y": layer.format} | ({"t": layer.hidden} if layer.hidden else {})
    return {
        "name": layer.name,
        "cell": layer.cell,
        "inputs": layer.size,
        "units": layer.value_size,
        "skip": "zero" if layer.skips_zeros else "none",
        "theta": {},
        "formats": {name: str(format) for name, format in formats.items()},
        "weights": {ENERGIES: str(layer.energy)} if layer.energy else {},
        "real_scales": {},
        "accumulator_bits": layer.accumulator_width,
        "tables": tables_of(layer.tables),
    }


def tables_of(tables: Mapping[str, PiecewiseLinear]) -> dict[str, Any]:
    return {
        name: {
            "function": table.function,
            "segments": len(table.base),
            "worst_error": worst_error(table) if table.known else None,
        }
        for name, table in tables.items()
    }
