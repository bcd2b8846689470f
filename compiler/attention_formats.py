"""From attention in float to attention in integers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .attention import ENERGIES, Attention
from .calibrate import Statistics
from .checks.attention_checks import check_attention
from .encodings import Integers
from .errors import DeltaloomError, UnsupportedError
from .fixed import Format
from .formats import fit_table
from .functions import function_of
from .integer import Skip
from .integer_attention import SCALE_FRAC, IntegerAttention
from .inverse import fit_inverse
from .pwl import PiecewiseLinear
from .recipe import Recipe

__all__ = ["dequantize_attention", "quantize_attention"]


def quantize_attention(
    layer: Attention,
    formats: Sequence[Format],
    sizes: Sequence[int],
    format: Format,
    recipe: Recipe,
) -> IntegerAttention:
    """The layer in integers, given formats and sizes of its sources, and its output's format."""
    exp = exponentials(recipe.activation_bits(layer.name, "p"), recipe)
    tables = {"exp": exp, "reciprocal": fit_inverse("reciprocal")}
    scale = layer.scale_of(sizes[0])
    exponent = int(np.floor(np.log2(scale)))
    multiplier = int(np.floor(scale * 2.0 ** (SCALE_FRAC - exponent) + 0.5))
    if multiplier == 2 << SCALE_FRAC:
        multiplier, exponent = 1 << SCALE_FRAC, exponent + 1
    energies, energy, hidden = None, None, None
    if layer.energies is not None:
        energy = energy_format(layer, recipe)
        energies = energy.quantize(layer.energies)
        hidden_bits = recipe.activation_bits(layer.name, "t")
        hidden = Format(hidden_bits, hidden_bits - 1)
        tanh = function_of("tanh")
        source = tanh.source(Format(recipe.elementwise, 0))
        tables["tanh"] = fit_table(tanh, source, hidden, recipe)
    found = IntegerAttention(
        name=layer.name,
        sources=layer.sources,
        form=layer.form,
        causal=layer.causal,
        max_steps=layer.max_steps,
        size=sizes[0],
        value_size=sizes[2],
        query=formats[0],
        key=formats[1],
        value=formats[2],
        weight=tables["exp"].target,
        multiplier=multiplier,
        exponent=exponent,
        format=format,
        tables=tables,
        skips_zeros=recipe.skip != Skip.NONE.value,
        energies=energies,
        energy=energy,
        hidden=hidden,
    )
    try:
        check_attention(found)
    except ValueError as error:
        raise DeltaloomError(str(error)) from None
    return found


def dequantize_attention(layer: IntegerAttention) -> Attention:
    """The layer in float, with the scale and energies that its integers stand for."""
    energies = None
    if layer.energies is not None and layer.energy is not None:
        energies = layer.energy.dequantize(layer.energies)
    return Attention(
        layer.name,
        layer.form,
        layer.causal,
        layer.max_steps,
        scale=layer.scale_value if energies is None else None,
        energies=energies,
        sources=layer.sources,
    )


def exponentials(bits: int, recipe: Recipe) -> PiecewiseLinear:
    """The table of weights of so many bits, of which none is negative."""
    function = function_of("softmax_weight")
    source = function.source(Format(recipe.elementwise, 0))
    table = fit_table(function, source, Format(bits - 1, bits - 1, signed=False), recipe)
    return replace(table, target=Format(bits, bits - 1))


def energy_format(layer: Attention, recipe: Recipe) -> Format:
    """A power of two as the scale of all energies."""
    assert layer.energies is not None
    what = f"Energies {layer.name}.{ENERGIES}"
    encoding = recipe.weight_encoding(layer.name, ENERGIES)
    if not isinstance(encoding, Integers) or recipe.scale_kind(layer.name, ENERGIES) == "real":
        raise UnsupportedError(
            f"{what} must be integers with a power of two as scale: they have no other form yet; "
            f"paths = {{'{layer.name}.{ENERGIES}': {{'weights': 'int8', 'scale': "
            f"'power-of-two'}}}} says so"
        )
    format = Statistics.of(what, layer.energies).format(encoding.bits, recipe.clip)
    if np.any(layer.energies) and not np.any(format.quantize(layer.energies)):
        raise DeltaloomError(f"{what} must not all round to zero")
    return format
