"""Element-wise functions: what each computes, its derivative, and which inputs matter to it."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature

import numpy as np

from .errors import DeltaloomError
from .fixed import Format

__all__ = ["FAMILIES", "Function", "function_of"]

Array = np.ndarray

NAME = re.compile(r"([a-z][a-z0-9_]*)(?:\((.*)\))?")


@dataclass(frozen=True)
class Function:
    """An element-wise function in float64.

    Parameters
    ----------
    name : str
        With its parameters, as in ``elu(0.5)``; :func:`function_of` finds it by that.
    real : callable
        From an array to one of the same shape.
    slope : callable, optional
        Its derivative, from the same argument; without one it cannot be trained through.
    flat : float, optional
        Magnitude beyond which it is constant to 16 bits: what a table needs not cover. Left out:
        a table covers what calibration finds.
    bounds : tuple of float, optional
        Two magnitudes with signs that no result exceeds. Left out: results are as large as what
        the table covers makes them.
    corners : tuple of float, optional
        Where its slope changes, if it is piecewise linear itself.
    """

    name: str
    real: Callable[[Array], Array]
    slope: Callable[[Array], Array] | None = None
    flat: float | None = None
    bounds: tuple[float, float] | None = None
    corners: tuple[float, ...] | None = None

    def __call__(self, values: Array) -> Array:
        return self.real(values)

    @property
    def stem(self) -> str:
        """The name without parameters, an identifier."""
        return self.name.partition("(")[0]

    def source(self, calibrated: Format) -> Format:
        """Inputs that a table covers, given the format that calibration found for them."""
        if self.flat is None:
            return calibrated
        return Format(calibrated.width, calibrated.width - 1 - bits_of(self.flat))

    def target(self, source: Format, calibrated: Format) -> Format:
        """Results of a table that covers ``source``, given the format that calibration found.

        It holds whatever an input of the source gives, if need be in one or two bits more, so
        that nothing is cut off within a table.
        """
        width = calibrated.width
        if self.bounds is not None:
            return Format(width, width - 1 - bits_of(max(map(abs, self.bounds))))
        codes = np.arange(source.min, source.max + 1)
        with np.errstate(all="ignore"):
            largest = np.abs(self.real(source.dequantize(codes))).max()
        if not np.isfinite(largest):
            raise DeltaloomError(
                f"Function {self.name} must be finite for all inputs of {source}, from "
                f"{source.min * source.scale:g} to {source.max * source.scale:g}"
            )
        whole = bits_of(float(largest))
        frac = min(calibrated.frac, width + WIDER - 1 - whole)
        return Format(max(width, frac + 1 + whole), frac)


WIDER = 2
"""Bits that a table's results may have beyond the element-wise width: up to a multiplier's 18."""


def bits_of(magnitude: float) -> int:
    """Whole bits without sign of numbers up to a magnitude, which may round to it."""
    return math.ceil(math.log2(magnitude)) if magnitude > 0 else 0


@lru_cache(maxsize=1024)
def function_of(name: str) -> Function:
    """The function of a name like ``tanh`` or ``elu(0.5, 1.0, 1.0)``.

    Raises
    ------
    ValueError
        If there is none, or its parameters are not what it takes.
    """
    match = NAME.fullmatch(name)
    family = FAMILIES.get(match[1]) if match else None
    if match is None or family is None:
        raise ValueError(f"Function must be one of {', '.join(FAMILIES)}, not {name!r}")
    parameters = signature(family).parameters
    try:
        values = [float(part) for part in match[2].split(",")] if match[2] else []
    except ValueError:
        values = [math.nan]
    if len(values) > len(parameters) or not all(map(math.isfinite, values)):
        raise ValueError(
            f"Function {match[1]} must have at most {len(parameters)} finite parameters, "
            f"not ({match[2]})"
        )
    return family(*values)


def named(stem: str, *parameters: float) -> str:
    """The one name of a function with parameters."""
    return f"{stem}({', '.join(repr(float(p)) for p in parameters)})"


def require(stem: str, what: str, value: float, holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(f"Parameter {what} of {stem} must be {text}, not {value:g}")


def positive(stem: str, **parameters: float) -> None:
    for what, value in parameters.items():
        require(stem, what, value, 2.0**-16 <= value <= 2.0**16, "from 2**-16 to 2**16")


def logistic(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def relu() -> Function:
    return Function("relu", lambda x: np.maximum(x, 0.0), lambda x: (x > 0).astype(x.dtype))


def absolute() -> Function:
    return Function("abs", np.abs, np.sign)


def sigmoid() -> Function:
    """1 / (1 + exp(-x))."""

    def slope(x: Array) -> Array:
        y = logistic(x)
        return y * (1 - y)

    return Function("sigmoid", logistic, slope, flat=16, bounds=(0, 1))


def tanh() -> Function:
    return Function("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2, flat=8, bounds=(-1, 1))


def scaled_tanh(alpha: float = 1.0, beta: float = 1.0) -> Function:
    """alpha * tanh(beta * x)."""
    positive("scaled_tanh", alpha=alpha, beta=beta)
    return Function(
        named("scaled_tanh", alpha, beta),
        lambda x: alpha * np.tanh(beta * x),
        lambda x: alpha * beta * (1 - np.tanh(beta * x) ** 2),
        flat=8 / beta,
        bounds=(-alpha, alpha),
    )


def exp() -> Function:
    return Function("exp", np.exp, np.exp)


def softmax_weight() -> Function:
    """exp(-8 - x): of distances from the largest score, 0 to 16, less half of that range."""
    return Function(
        "softmax_weight",
        lambda x: np.exp(-8.0 - x),
        lambda x: -np.exp(-8.0 - x),
        flat=8.0,
        bounds=(0, 1),
    )


def softsign() -> Function:
    """x / (1 + abs(x))."""
    return Function(
        "softsign",
        lambda x: x / (1 + np.abs(x)),
        lambda x: (1 + np.abs(x)) ** -2,
        bounds=(-1, 1),
    )


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Function:
    """log(1 + exp(beta * x)) / beta; x where beta * x exceeds the threshold (torch.nn.Softplus)."""
    positive("softplus", beta=beta, threshold=threshold)

    def real(x: Array) -> Array:
        return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)

    def slope(x: Array) -> Array:
        return np.where(beta * x > threshold, 1.0, logistic(beta * x))

    return Function(named("softplus", beta, threshold), real, slope)


def log_sigmoid() -> Function:
    return Function("log_sigmoid", lambda x: -np.logaddexp(0, -x), lambda x: logistic(-x))


def elu(alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Function:
    """scale * (x, or below zero alpha * (exp(input_scale * x) - 1)): ELU, SELU and CELU."""
    positive("elu", alpha=alpha, scale=scale, input_scale=input_scale)

    def real(x: Array) -> Array:
        below = alpha * np.expm1(input_scale * np.minimum(x, 0))
        return scale * np.where(x > 0, x, below)

    def slope(x: Array) -> Array:
        below = alpha * input_scale * np.exp(input_scale * np.minimum(x, 0))
        return scale * np.where(x > 0, 1.0, below)

    return Function(named("elu", alpha, scale, input_scale), real, slope)


def silu() -> Function:
    """x * sigmoid(x), also called swish."""

    def slope(x: Array) -> Array:
        y = logistic(x)
        return y * (1 + x * (1 - y))

    return Function("silu", lambda x: x * logistic(x), slope)


def mish() -> Function:
    """x * tanh(softplus(x))."""

    def slope(x: Array) -> Array:
        inner = np.tanh(np.logaddexp(0, x))
        return inner + x * (1 - inner**2) * logistic(x)

    return Function("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), slope)


def gelu() -> Function:
    """x times the normal distribution's cumulative probability."""
    erf = np.vectorize(math.erf, otypes=[np.float64])

    def probability(x: Array) -> Array:
        found: Array = 0.5 * (1 + erf(x / math.sqrt(2)))
        return found

    def slope(x: Array) -> Array:
        return probability(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)

    return Function("gelu", lambda x: x * probability(x), slope)


def gelu_tanh() -> Function:
    """The approximation of :func:`gelu` by a hyperbolic tangent."""
    factor, cubic = math.sqrt(2 / math.pi), 0.044715

    def real(x: Array) -> Array:
        return 0.5 * x * (1 + np.tanh(factor * (x + cubic * x**3)))

    def slope(x: Array) -> Array:
        inner = np.tanh(factor * (x + cubic * x**3))
        return 0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * factor * (1 + 3 * cubic * x**2)

    return Function("gelu_tanh", real, slope)


def hard_swish() -> Function:
    """x * (x + 3) / 6 between -3 and 3, zero below, x above."""

    def slope(x: Array) -> Array:
        return np.where(x < -3, 0.0, np.where(x > 3, 1.0, (2 * x + 3) / 6))

    return Function("hard_swish", lambda x: x * np.clip((x + 3) / 6, 0, 1), slope)


def hard_sigmoid(alpha: float = 1 / 6, beta: float = 0.5) -> Function:
    """alpha * x + beta, cut to [0, 1]."""
    positive("hard_sigmoid", alpha=alpha)
    require("hard_sigmoid", "beta", beta, 0 <= beta <= 1, "from 0 to 1")
    corners = (-beta / alpha, (1 - beta) / alpha)
    return Function(
        named("hard_sigmoid", alpha, beta),
        lambda x: np.clip(alpha * x + beta, 0, 1),
        lambda x: np.where((corners[0] < x) & (x < corners[1]), alpha, 0.0),
        flat=max(map(abs, corners)),
        bounds=(0, 1),
        corners=corners,
    )


def hard_tanh(low: float = -1.0, high: float = 1.0) -> Function:
    """x, cut to [low, high]: torch.nn.Hardtanh, ReLU6, ONNX Clip."""
    largest = max(abs(low), abs(high))
    require("hard_tanh", "high", high, low < high, f"above {low:g}")
    positive("hard_tanh", bounds=largest)
    return Function(
        named("hard_tanh", low, high),
        lambda x: np.clip(x, low, high),
        lambda x: np.where((low < x) & (x < high), 1.0, 0.0),
        flat=largest,
        bounds=(low, high),
        corners=(low, high),
    )


def leaky_relu(slope: float = 0.01) -> Function:
    """x, or below zero slope * x."""
    require("leaky_relu", "slope", slope, abs(slope) <= 2.0**8, "at most 2**8 in magnitude")
    return Function(
        named("leaky_relu", slope),
        lambda x: np.where(x > 0, x, slope * x),
        lambda x: np.where(x > 0, 1.0, slope),
        corners=(0.0,),
    )


def soft_shrink(limit: float = 0.5) -> Function:
    """x drawn towards zero by ``limit``, and zero within it."""
    positive("soft_shrink", limit=limit)
    return Function(
        named("soft_shrink", limit),
        lambda x: x - np.clip(x, -limit, limit),
        lambda x: np.where(np.abs(x) > limit, 1.0, 0.0),
        corners=(-limit, limit),
    )


def linear(alpha: float = 1.0, beta: float = 0.0) -> Function:
    """alpha * x + beta: the activation that ONNX calls Affine."""
    for what, value in {"alpha": alpha, "beta": beta}.items():
        require("linear", what, value, abs(value) <= 2.0**8, "at most 2**8 in magnitude")
    return Function(
        named("linear", alpha, beta),
        lambda x: alpha * x + beta,
        lambda x: np.full_like(x, alpha),
        corners=(),
    )


def inverse_reciprocal() -> Function:
    """Of a mantissa: see :mod:`~deltaloom.compiler.inverse`."""
    return Function("inverse_reciprocal", lambda x: 1 / (2 + x))


def inverse_root() -> Function:
    """Of a mantissa: see :mod:`~deltaloom.compiler.inverse`."""
    return Function("inverse_root", lambda x: np.where(x < 0, 2 + x, 2 + 2 * x) ** -0.5)


FAMILIES: Mapping[str, Callable[..., Function]] = {
    "abs": absolute,
    **{
        family.__name__: family
        for family in (
            *(relu, sigmoid, tanh, scaled_tanh, exp, softsign, softplus, log_sigmoid),
            *(elu, silu, mish, gelu, gelu_tanh, hard_swish, hard_sigmoid, hard_tanh),
            *(leaky_relu, soft_shrink, linear, inverse_reciprocal, inverse_root, softmax_weight),
        )
    },
}
"""Functions by name; each may take parameters, all of which have defaults."""
