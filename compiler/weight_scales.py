"""Which scale the weights of each gate and path get, and so their format."""

import math
from collections.abc import Mapping

import numpy as np

from .clipping import CANDIDATES, MAX_FRAC, covering_format
from .encodings import UNIT_MULTIPLIER, Encoding, Integers, WeightFormat
from .errors import DeltaloomError
from .graph import Affine
from .network import Layer
from .recipe import Recipe

__all__ = ["choose_weight_formats"]

MANTISSAS = 16  # real scales within a factor of two that are tried before the best is refined
REFINEMENTS = 12


def choose_weight_formats(layer: Layer, recipe: Recipe) -> dict[str, WeightFormat]:
    """A format for the weights of each gate and path, by ``gate.operand``.

    Power-of-two scales are chosen for each path alone. A real scale is a mantissa that all paths
    of a gate share, times a power of two for each. With ``clip`` ``mse`` both minimise the sum of
    squared errors of rounding to the nearest level: for ternary weights the threshold and scale
    of Li et al. 2016, for binary ones the mean magnitude of Rastegari et al. 2016. With
    ``minmax`` the outermost levels cover every weight.
    """
    found: dict[str, WeightFormat] = {}
    for _, affine in layer.graph.of(Affine):
        found |= _gate_formats(layer, affine, recipe)
    for key, format in found.items():
        values = layer.parameters[key]
        if np.any(values) and not np.any(format.quantize(values)):
            raise DeltaloomError(
                f"Weights {layer.name}.{key} must not all round to zero; the largest is "
                f"{np.abs(values).max():.3g}: scale them up and their input down"
            )
    return found


def _gate_formats(layer: Layer, affine: Affine, recipe: Recipe) -> dict[str, WeightFormat]:
    keys = [affine.key(path) for path in affine.paths]
    kinds = {recipe.scale_kind(layer.name, key) for key in keys}
    if len(kinds) > 1:
        raise DeltaloomError(
            f"Recipe must give the weights {', '.join(f'{layer.name}.{key}' for key in keys)} "
            f"the same kind of scale, not {' and '.join(sorted(kinds))}: they share an accumulator"
        )
    gate = _Gate(layer, keys, recipe)
    if any(key in layer.steps for key in keys):
        return _kept_formats(layer, gate, kinds == {"real"})
    return gate.formats(gate.best_multiplier() if kinds == {"real"} else UNIT_MULTIPLIER)


def _kept_formats(layer: Layer, gate: "_Gate", real: bool) -> dict[str, WeightFormat]:
    """Formats of a gate some of whose weights are integers already, which stay as they are.

    A scale that is no power of two is rounded to the 16 bits of a real scale's mantissa.
    """
    steps = {key: layer.steps[key] for key in gate.values if key in layer.steps}
    for key, step in steps.items():
        if not real and math.frexp(step)[0] != 0.5:
            raise DeltaloomError(
                f"Weights {layer.name}.{key} are integers with the scale {step:.6g}, no power of "
                f"two: a recipe with scale = 'real' keeps them"
            )
    multipliers = {mantissa(step, up=False) for step in steps.values()}
    if len(multipliers) > 1:
        raise DeltaloomError(
            f"Weights {', '.join(f'{layer.name}.{key}' for key in steps)} share an accumulator and "
            f"must have scales that are a power of two apart, not "
            f"{', '.join(f'{step:.6g}' for step in steps.values())}"
        )
    (multiplier,) = multipliers
    formats = gate.formats(multiplier)
    for key, step in steps.items():
        frac = round(math.log2(multiplier / UNIT_MULTIPLIER / step))
        formats[key] = format = WeightFormat(gate.encodings[key], frac, multiplier)
        integers = np.rint(gate.values[key] / step)
        if not np.array_equal(format.quantize(gate.values[key]), integers):
            raise DeltaloomError(
                f"Weights {layer.name}.{key} are integers from {integers.min():.0f} to "
                f"{integers.max():.0f} with the scale {step:.6g}, which {format.encoding} does not "
                f"hold: give them as many bits as they have"
            )
    return formats


class _Gate:
    """The weights of one gate, which share the mantissa of their scales."""

    def __init__(self, layer: Layer, keys: list[str], recipe: Recipe):
        self.layer = layer.name
        self.values = {key: layer.parameters[key] for key in keys}
        self.encodings = {key: recipe.weight_encoding(layer.name, key) for key in keys}
        self.clip = recipe.clip

    def formats(self, multiplier: int) -> dict[str, WeightFormat]:
        """The best power of two for each path, given the mantissa."""
        return {key: self._format(key, multiplier) for key in self.values}

    def _format(self, key: str, multiplier: int) -> WeightFormat:
        encoding, values = self.encodings[key], self.values[key].reshape(-1)
        scaled = values * (UNIT_MULTIPLIER / multiplier)
        covering = covering_frac(scaled, encoding, f"Weights {self.layer}.{key}")
        candidates = [WeightFormat(encoding, covering, multiplier)]
        if self.clip == "mse":
            candidates = [
                WeightFormat(encoding, min(covering + more, MAX_FRAC), multiplier)
                for more in CANDIDATES
            ]
        errors = [squared_error(format, values) for format in candidates]
        return candidates[int(np.argmin(errors))]

    def error(self, formats: Mapping[str, WeightFormat]) -> float:
        return sum(squared_error(formats[key], values) for key, values in self.values.items())

    def best_multiplier(self) -> int:
        """Mantissa of the real scale."""
        if self.clip == "minmax":
            key = max(self.values, key=lambda key: float(np.abs(self.values[key]).max()))
            values, largest = self.values[key], self.encodings[key].high
            return mantissa(float(np.abs(values).max()) / largest, up=True)
        tried = [mantissa(2.0 ** (step / MANTISSAS), up=False) for step in range(MANTISSAS)]
        best = min(tried, key=lambda multiplier: self.error(self.formats(multiplier)))
        for _ in range(REFINEMENTS):
            refined = self._refined(self.formats(best))
            if self.error(self.formats(refined)) >= self.error(self.formats(best)):
                break
            best = refined
        return best

    def _refined(self, formats: Mapping[str, WeightFormat]) -> int:
        """The mantissa with the least squared error for the levels that these formats give."""
        above = below = 0.0
        for key, format in formats.items():
            values = self.values[key]
            levels = format.quantize(values) * 2.0**-format.frac
            above += float((values * levels).sum())
            below += float((levels * levels).sum())
        return mantissa(above / below if above > 0 else 1.0, up=False)


def squared_error(format: WeightFormat, values: np.ndarray) -> float:
    """Sum of the squared errors of rounding to the nearest levels."""
    return float(((values - format.dequantize(format.quantize(values))) ** 2).sum())


def mantissa(scale: float, *, up: bool) -> int:
    """Multiplier of a real scale, its power of two left out; rounded up, or to the nearest."""
    if scale == 0:
        return UNIT_MULTIPLIER
    exact = math.frexp(scale)[0] * 2 * UNIT_MULTIPLIER
    found = math.ceil(exact) if up else round(exact)
    return found if found < 2 * UNIT_MULTIPLIER else UNIT_MULTIPLIER


def covering_frac(values: np.ndarray, encoding: Encoding, what: str) -> int:
    """The most fraction bits with which an encoding's levels reach as far as the values."""
    if isinstance(encoding, Integers):
        return covering_format(float(values.min()), float(values.max()), encoding.bits, what).frac
    largest = float(np.abs(values).max())
    if largest == 0 and not encoding.holds(np.zeros(1)):
        raise DeltaloomError(
            f"{what} must not all be zero, which {encoding} weights cannot be: give them integers"
        )
    reach = encoding.high.bit_length() - 1
    return min(covering_format(-largest, 0.0, 1, what).frac + reach, MAX_FRAC)
