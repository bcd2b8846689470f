"""What every parameter of a recipe must be, whatever the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .encodings import ENCODINGS
from .errors import DeltaloomError
from .integer import MAX_SELECTED, Skip
from .pwl_adaptive import CRITERIA

if TYPE_CHECKING:
    from .recipe import Recipe

__all__ = [
    "COMPENSATED",
    "INTEGERS",
    "OVERRIDES",
    "SUMS",
    "check_encoding",
    "check_integers",
    "check_values",
]

INTEGERS = {f"int{bits}": bits for bits in range(2, 17)}
SKIPS = tuple(mode.value for mode in Skip)
CLIPS = ("minmax", "mse")
TABLES = ("uniform", "adaptive")
SCALES = ("power-of-two", "real")
COMPENSATED = "compensated"
ROUNDINGS = ("nearest", "stochastic", COMPENSATED)
OVERRIDES = ("weights", "activations", "scale")
SEEDS = 1 << 32
SUMS = 32
"""Bits of an output that is not rounded."""


def check_values(recipe: Recipe) -> None:
    """Raise unless each parameter has a value it can have, and no two contradict."""
    check_encoding("weights", recipe.weights)
    check_integers("activations", recipe.activations)
    one_of("skip", recipe.skip, SKIPS)
    one_of("clip", recipe.clip, CLIPS)
    one_of("tables", recipe.tables, TABLES)
    one_of("knots", recipe.knots, CRITERIA)
    if recipe.knots != CRITERIA[0] and recipe.tables != "adaptive":
        raise DeltaloomError(
            f"Recipe knots must be '{CRITERIA[0]}' with tables '{recipe.tables}', which have no "
            f"knots to choose; '{recipe.knots}' needs tables 'adaptive'"
        )
    one_of("scale", recipe.scale, SCALES)
    one_of("rounding", recipe.rounding, ROUNDINGS)
    _check_theta(recipe)
    _check_k(recipe)
    _check_paths(recipe.paths)
    _check_limits("state_limits", recipe.state_limits)
    _check_limits("operand_limits", recipe.operand_limits)
    check_range("elementwise", recipe.elementwise, 4, 16)
    if recipe.output is not None:
        _check_output(recipe.output)
    if recipe.activation_error is not None:
        check_number("activation_error", recipe.activation_error, 1, 1024, "1 to 1024")
    if not is_integer(recipe.seed) or not 0 <= recipe.seed < SEEDS:
        raise DeltaloomError(
            f"Recipe seed must be an integer from 0 to 2**32 - 1, not {recipe.seed!r}"
        )
    if recipe.seed and recipe.rounding != "stochastic":
        raise DeltaloomError(
            f"Recipe seed must be 0 with rounding '{recipe.rounding}'; seeds need rounding "
            f"'stochastic'"
        )
    _check_segments(recipe)
    if recipe.max_loss is not None:
        check_number("max_loss", recipe.max_loss, 0, 1e300, "0 up")


def _check_output(bits: int) -> None:
    if not is_integer(bits) or (bits != SUMS and not 2 <= bits <= 16):
        raise DeltaloomError(
            f"Recipe output must be an integer from 2 to 16, or {SUMS}, not {bits!r}"
        )


def _check_segments(recipe: Recipe) -> None:
    if recipe.segments is None:
        return
    if not is_integer(recipe.segments) or recipe.segments < 1:
        raise DeltaloomError(f"Recipe segments must be a positive integer, not {recipe.segments!r}")
    if recipe.activation_error is not None:
        raise DeltaloomError("Recipe must give either segments or activation_error, not both")


def _check_theta(recipe: Recipe) -> None:
    theta, largest = recipe.theta, 0
    if isinstance(theta, Mapping):
        check_names("theta", theta, "layers")
        for layer, operands in theta.items():
            if not isinstance(operands, Mapping):
                raise DeltaloomError(
                    f"Recipe theta of layer {layer} must be a mapping of operand to "
                    f"threshold, not {operands!r}"
                )
            check_names(f"theta of layer {layer}", operands, "operands")
            for operand, value in operands.items():
                check_threshold(f"Recipe theta of {layer}.{operand}", value)
                largest = max(largest, value)
    else:
        check_threshold("Recipe theta", theta)
        largest = theta
    if recipe.skip != Skip.DELTA.value and largest > 0:
        raise DeltaloomError(
            f"Recipe theta must be 0 with skip '{recipe.skip}'; thresholds need skip 'delta'"
        )


def _check_k(recipe: Recipe) -> None:
    k, asked = recipe.k, recipe.skip == Skip.TOP_K.value
    if (k is not None) != asked:
        raise DeltaloomError(
            "Recipe k must be given with skip 'top_k': elements of a vector that are multiplied"
            if asked
            else f"Recipe k must be left out with skip '{recipe.skip}'; it needs skip 'top_k'"
        )
    if not isinstance(k, Mapping):
        if k is not None:
            check_range("k", k, 1, MAX_SELECTED)
        return
    check_names("k", k, "layers")
    for layer, operands in k.items():
        if not isinstance(operands, Mapping):
            raise DeltaloomError(
                f"Recipe k of layer {layer} must be a mapping of operand to number, "
                f"not {operands!r}"
            )
        check_names(f"k of layer {layer}", operands, "operands")
        for operand, value in operands.items():
            check_range(f"k of {layer}.{operand}", value, 1, MAX_SELECTED)


def _check_paths(paths: object) -> None:
    if not isinstance(paths, Mapping):
        raise DeltaloomError(
            f"Recipe paths must be a mapping of pattern to overrides, not {paths!r}"
        )
    check_names("paths", paths, "patterns")
    for pattern, overrides in paths.items():
        if not isinstance(overrides, Mapping) or not overrides:
            raise DeltaloomError(
                f"Recipe paths '{pattern}' must be a mapping with some of "
                f"{', '.join(OVERRIDES)}, not {overrides!r}"
            )
        for name, value in overrides.items():
            what = f"paths '{pattern}' {name}"
            if name == "scale":
                one_of(what, value, SCALES)
            elif name == "weights":
                check_encoding(what, value)
            elif name == "activations":
                check_integers(what, value)
            else:
                raise DeltaloomError(
                    f"Recipe paths '{pattern}' must override {', '.join(OVERRIDES)}, not {name!r}"
                )


def _check_limits(name: str, limits: object) -> None:
    if not isinstance(limits, Mapping):
        raise DeltaloomError(
            f"Recipe {name} must be a mapping of pattern to magnitude, not {limits!r}"
        )
    check_names(name, limits, "patterns")
    for pattern, limit in limits.items():
        what = f"{name} '{pattern}'"
        check_number(what, limit, 2.0**-30, 2.0**30, "2**-30 to 2**30")


def check_integers(what: str, value: object) -> None:
    if not isinstance(value, str) or value not in INTEGERS:
        raise DeltaloomError(f"Recipe {what} must be one of int2 to int16, not {value!r}")


def check_encoding(what: str, value: object) -> None:
    if not isinstance(value, str) or value not in ENCODINGS:
        others = ", ".join(name for name in ENCODINGS if name not in INTEGERS)
        raise DeltaloomError(f"Recipe {what} must be one of int2 to int16, {others}, not {value!r}")


def one_of(what: str, value: object, names: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in names:
        raise DeltaloomError(f"Recipe {what} must be one of {', '.join(names)}, not {value!r}")


def check_names(what: str, mapping: Iterable[object], kind: str) -> None:
    for name in mapping:
        if not isinstance(name, str):
            raise DeltaloomError(f"Recipe {what} must name {kind} in strings, not {name!r}")


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_range(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DeltaloomError(
            f"Recipe {what} must be an integer from {low} to {high}, not {value!r}"
        )


def check_number(what: str, value: object, low: float, high: float, range: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise DeltaloomError(f"Recipe {what} must be a number from {range}, not {value!r}")


def check_threshold(what: str, value: object) -> None:
    if not is_integer(value) or value < 0:  # type: ignore[operator]
        raise DeltaloomError(f"{what} must be a non-negative integer, not {value!r}")
