"""Weights and biases as integers, and the accumulators that hold their sums."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .encodings import UNIT_MULTIPLIER, WeightFormat
from .errors import DeltaloomError
from .fixed import Format, width_for
from .graph import Affine, Path
from .integer import MAX_ACCUMULATOR, MAX_ALIGNMENT, largest_sums
from .network import Layer
from .recipe import Recipe

__all__ = ["IntegerParameters", "quantize_weights"]


@dataclass(frozen=True)
class IntegerParameters:
    """A layer's integer parameters.

    Parameters
    ----------
    weights, biases : mapping of str to numpy.ndarray
        Int64, as in :class:`~deltaloom.compiler.integer.IntegerLayer`.
    formats : mapping of str to WeightFormat
        By ``gate.operand``.
    accumulators : mapping of str to Format
        By gate: products and bias, wide enough for any input, in units of the gate's real scale
        if it has one.
    """

    weights: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray]
    formats: Mapping[str, WeightFormat]
    accumulators: Mapping[str, Format]


def quantize_weights(
    layer: Layer,
    operands: Mapping[str, Format],
    formats: Mapping[str, WeightFormat],
    recipe: Recipe,
) -> IntegerParameters:
    """Round a layer's parameters.

    ``operands`` has the format of each matrix-vector operand, ``formats`` that of each path's
    weights. Biases err by half a unit of their accumulator.
    """
    weights, biases, accumulators = {}, {}, {}
    for _, affine in layer.graph.of(Affine):
        for path in affine.paths:
            key = affine.key(path)
            kept = key in layer.steps  # integers already, whatever rounding is asked for
            generator = None if kept else recipe.weight_generator(layer.name, key)
            weights[key] = formats[key].quantize(layer.parameters[key], generator)
        frac = max(formats[affine.key(p)].frac + operands[p.name].frac for p in affine.paths)
        multiplier = formats[affine.key(affine.paths[0])].multiplier
        values = layer.parameters[affine.name] * (UNIT_MULTIPLIER / multiplier)
        biases[affine.name] = _quantize_bias(layer, affine, values, frac)
        sums = largest_sums(
            (weights[key], operands[path.name], _alignment(layer, affine, path, operands, formats))
            for path in affine.paths
            for key in [affine.key(path)]
        )
        bound = int((sums + np.abs(biases[affine.name]).astype(object)).max())
        accumulators[affine.name] = Format(width_for(-bound, bound), frac)
        if accumulators[affine.name].width > MAX_ACCUMULATOR:
            raise _too_wide(layer, affine, accumulators[affine.name].width)
    return IntegerParameters(weights, biases, formats, accumulators)


def _quantize_bias(layer: Layer, affine: Affine, values: np.ndarray, frac: int) -> np.ndarray:
    scaled = np.floor(values * 2.0**frac + 0.5)
    largest = float(np.abs(scaled).max())
    if largest >= 2.0**MAX_ACCUMULATOR:
        raise _too_wide(layer, affine, int(np.ceil(np.log2(largest))) + 1)
    return scaled.astype(np.int64)


def _alignment(
    layer: Layer,
    affine: Affine,
    path: Path,
    operands: Mapping[str, Format],
    formats: Mapping[str, WeightFormat],
) -> int:
    """Left shift of a path's products."""
    fracs = {p.name: formats[affine.key(p)].frac + operands[p.name].frac for p in affine.paths}
    finest = max(fracs, key=lambda name: fracs[name])
    shift = fracs[finest] - fracs[path.name]
    if shift > MAX_ALIGNMENT:
        raise DeltaloomError(
            f"Products of {layer.name}.{affine.key(path)} must be within 2**{MAX_ALIGNMENT} of "
            f"those of {layer.name}.{affine.name}.{finest}, not 2**{shift}: "
            f"bring the inputs to similar scales, or give the finer path fewer bits"
        )
    return shift


def _too_wide(layer: Layer, affine: Affine, width: int) -> DeltaloomError:
    return DeltaloomError(
        f"Accumulator of {layer.name}.{affine.name} must have at most {MAX_ACCUMULATOR} bits, "
        f"not {width}: use fewer bits for weights or activations, or bring weights, bias and "
        f"inputs to similar scales"
    )
