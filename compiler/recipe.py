"""What quantization is asked to do: widths, skipping, clipping, for all layers or for some."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any

from .errors import DeltaloomError, UnsupportedError
from .graph import Affine, State
from .integer import Skip
from .network import Layer, Network

__all__ = ["Recipe", "check_recipe"]

INTEGERS = {f"int{bits}": bits for bits in range(2, 17)}
LATER_WEIGHTS = ("binary", "ternary", "quaternary", "shift2", "shift3", "shift4")
SKIPS = tuple(mode.value for mode in Skip)
CLIPS = ("minmax", "mse")
TABLES = ("uniform", "adaptive")
SCALES = ("power-of-two",)
OVERRIDES = ("weights", "activations", "scale")
ELEMENTWISE = range(4, 17)


@dataclass(frozen=True)
class Recipe:
    """How a network becomes integers.

    Parameters
    ----------
    weights : str
        ``int2`` to ``int16``: width of weights.
    activations : str
        ``int2`` to ``int16``: width of the inputs of matrix-vector products.
    skip : str
        Columns that are left out: ``none``, ``zero`` (exact) or ``delta`` (Neil et al. 2017).
    theta : int or mapping of layer to mapping of operand to int
        Least difference that is not skipped by ``delta``, in units of the activation's last
        place; 0 is exact. Layers and operands that a mapping leaves out have 0.
    clip : str
        Range of weights and activations: ``minmax`` covers every value of the calibration,
        ``mse`` minimises the mean squared error (Rezk et al. 2022).
    paths : mapping of pattern to mapping of str to str
        Overrides by name, as in ``fnmatch``, later ones first. ``weights`` and ``scale`` apply
        to ``layer.gate.operand``, as in ``{"rnn.0.*.h": {"weights": "int16"}}``, and
        ``activations`` to ``layer.operand``, as in ``{"rnn.0.x": {"activations": "int16"}}``.
        ``scale`` is ``power-of-two``.
    state_limits : mapping of pattern to float
        Largest magnitude that a state is kept for, by ``layer.state`` as in ``fnmatch``, later
        ones first: ``{"lstm.0.c": 64}``. Beyond it the state saturates, which is counted; below
        it the state is finer. Left out: what the calibration's largest value needs.
    elementwise : int
        Bits of gates, states and everything element-wise, 4 to 16.
    activation_error : float, optional
        Worst error of an activation table over every input code, in units of its result's last
        place. Left out: 1 for results of up to 8 bits, 2 for wider ones.
    tables : str
        Segments of activation tables: ``uniform``, or ``adaptive`` (Sari et al. 2021), whose
        knots lie where the function bends and need no memory.
    segments : int, optional
        Segments of a table, instead of an error: a power of two of uniform ones, up to 64 of
        adaptive ones.
    output : int, optional
        Bits of the last layer's output, 2 to 16. Left out: ``elementwise``.
    """

    weights: str = "int8"
    activations: str = "int8"
    skip: str = "none"
    theta: int | Mapping[str, Mapping[str, int]] = 0
    clip: str = "mse"
    paths: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    state_limits: Mapping[str, float] = field(default_factory=dict)
    elementwise: int = 16
    activation_error: float | None = None
    tables: str = "uniform"
    segments: int | None = None
    output: int | None = None

    def __post_init__(self) -> None:
        integer_bits("weights", self.weights)
        integer_bits("activations", self.activations)
        if self.skip == "top_k":
            raise UnsupportedError(
                f"Recipe skip 'top_k' is not supported yet; supported are {', '.join(SKIPS)}"
            )
        one_of("skip", self.skip, SKIPS)
        one_of("clip", self.clip, CLIPS)
        self._check_theta()
        self._check_paths()
        self._check_state_limits()
        if not is_integer(self.elementwise) or self.elementwise not in ELEMENTWISE:
            raise DeltaloomError(
                f"Recipe elementwise must be an integer from 4 to 16, not {self.elementwise!r}"
            )
        if self.output is not None and not (is_integer(self.output) and 2 <= self.output <= 16):
            raise DeltaloomError(
                f"Recipe output must be an integer from 2 to 16, not {self.output!r}"
            )
        error = self.activation_error
        if error is not None:
            number = isinstance(error, int | float) and not isinstance(error, bool)
            if not number or not 1 <= error <= 1024:
                raise DeltaloomError(
                    f"Recipe activation_error must be a number from 1 to 1024, not {error!r}"
                )

        one_of("tables", self.tables, TABLES)
        self._check_segments()

    def _check_segments(self) -> None:
        if self.segments is None:
            return
        if not is_integer(self.segments) or self.segments < 1:
            raise DeltaloomError(
                f"Recipe segments must be a positive integer, not {self.segments!r}"
            )
        if self.activation_error is not None:
            raise DeltaloomError("Recipe must give either segments or activation_error, not both")

    def _check_theta(self) -> None:
        if isinstance(self.theta, Mapping):
            for layer, operands in self.theta.items():
                if not isinstance(operands, Mapping):
                    raise DeltaloomError(
                        f"Recipe theta of layer {layer} must be a mapping of operand to "
                        f"threshold, not {operands!r}"
                    )
                for operand, theta in operands.items():
                    check_threshold(f"Recipe theta of {layer}.{operand}", theta)
        else:
            check_threshold("Recipe theta", self.theta)
        if self.skip != Skip.DELTA.value and self._largest_theta() > 0:
            raise DeltaloomError(
                f"Recipe theta must be 0 with skip '{self.skip}'; thresholds need skip 'delta'"
            )

    def _largest_theta(self) -> int:
        if isinstance(self.theta, Mapping):
            found = [theta for operands in self.theta.values() for theta in operands.values()]
            return max(found, default=0)
        return self.theta

    def _check_paths(self) -> None:
        if not isinstance(self.paths, Mapping):
            raise DeltaloomError(
                f"Recipe paths must be a mapping of pattern to overrides, not {self.paths!r}"
            )
        for pattern, overrides in self.paths.items():
            if not isinstance(overrides, Mapping) or not overrides:
                raise DeltaloomError(
                    f"Recipe paths '{pattern}' must be a mapping with some of "
                    f"{', '.join(OVERRIDES)}, not {overrides!r}"
                )
            for name, value in overrides.items():
                if name == "scale":
                    one_of(f"paths '{pattern}' scale", value, SCALES)
                elif name in OVERRIDES:
                    integer_bits(f"paths '{pattern}' {name}", value)
                else:
                    raise DeltaloomError(
                        f"Recipe paths '{pattern}' must override {', '.join(OVERRIDES)}, "
                        f"not {name!r}"
                    )

    def _check_state_limits(self) -> None:
        if not isinstance(self.state_limits, Mapping):
            raise DeltaloomError(
                f"Recipe state_limits must be a mapping of pattern to magnitude, "
                f"not {self.state_limits!r}"
            )
        for pattern, limit in self.state_limits.items():
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not number or not 2.0**-30 <= limit <= 2.0**30:
                raise DeltaloomError(
                    f"Recipe state_limits '{pattern}' must be a number from 2**-30 to 2**30, "
                    f"not {limit!r}"
                )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Recipe":
        """Read a TOML file whose keys are the parameters."""
        try:
            with open(path, "rb") as file:
                values: dict[str, Any] = tomllib.load(file)
        except OSError as error:
            raise DeltaloomError(
                f"Recipe {path} must be a readable file: {error.strerror}"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DeltaloomError(f"Recipe {path} must be valid TOML: {error}") from error
        known = [parameter.name for parameter in fields(cls)]
        for name in values:
            if name not in known:
                raise DeltaloomError(
                    f"Recipe {path} must have keys of {', '.join(known)}, not '{name}'"
                )
        return cls(**values)

    def weight_bits(self, layer: str, key: str) -> int:
        """Width of the weights ``key`` (``gate.operand``) of a layer."""
        return INTEGERS[self._override(f"{layer}.{key}", "weights") or self.weights]

    def activation_bits(self, layer: str, operand: str) -> int:
        """Width of an operand of a layer's matrix-vector products."""
        return INTEGERS[self._override(f"{layer}.{operand}", "activations") or self.activations]

    def theta_of(self, layer: str, operand: str) -> int:
        """Threshold of an operand, in units of its last place."""
        if isinstance(self.theta, Mapping):
            return self.theta.get(layer, {}).get(operand, 0)
        return self.theta

    def state_limit(self, layer: str, state: str) -> float | None:
        """Magnitude from which on a state may saturate; None if calibration decides."""
        found = None
        for pattern, limit in self.state_limits.items():
            if fnmatchcase(f"{layer}.{state}", pattern):
                found = limit
        return found

    def table_budget(self, width: int) -> float:
        """Worst error allowed to a table with results of ``width`` bits."""
        return self.activation_error or (1 if width <= 8 else 2)

    def _override(self, name: str, what: str) -> str | None:
        found = None
        for pattern, overrides in self.paths.items():
            if what in overrides and fnmatchcase(name, pattern):
                found = overrides[what]
        return found


def integer_bits(what: str, value: object) -> int:
    """Width that a name like ``int8`` stands for."""
    if isinstance(value, str) and value in INTEGERS:
        return INTEGERS[value]
    if "weights" in what and value in LATER_WEIGHTS:
        raise UnsupportedError(
            f"Recipe {what} '{value}' is not supported yet; supported are int2 to int16"
        )
    raise DeltaloomError(f"Recipe {what} must be one of int2 to int16, not {value!r}")


def one_of(what: str, value: object, names: tuple[str, ...]) -> None:
    if value not in names:
        raise DeltaloomError(f"Recipe {what} must be one of {', '.join(names)}, not {value!r}")


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_threshold(what: str, value: object) -> None:
    if not is_integer(value) or value < 0:  # type: ignore[operator]
        raise DeltaloomError(f"{what} must be a non-negative integer, not {value!r}")


def path_names(layer: Layer) -> dict[str, list[str]]:
    """What each kind of override can name: full names by ``weights`` and ``activations``."""
    paths = [(affine, path) for _, affine in layer.graph.of(Affine) for path in affine.paths]
    weights = [f"{layer.name}.{affine.key(path)}" for affine, path in paths]
    activations = sorted({f"{layer.name}.{path.name}" for _, path in paths})
    return {"weights": weights, "scale": weights, "activations": activations}


def check_recipe(recipe: Recipe, network: Network) -> None:
    """Raise unless every name of the recipe is one of the network's."""
    layers = {layer.name: layer for layer in network.layers if isinstance(layer, Layer)}
    names: dict[str, list[str]] = {what: [] for what in OVERRIDES}
    for layer in layers.values():
        for what, found in path_names(layer).items():
            names[what] += found
    for pattern, overrides in recipe.paths.items():
        for what in overrides:
            if not any(fnmatchcase(name, pattern) for name in names[what]):
                raise DeltaloomError(
                    f"Recipe paths '{pattern}' must match {what} of the network, which are "
                    f"{', '.join(names[what])}"
                )
    kept = [
        f"{layer.name}.{state.name}"
        for layer in layers.values()
        for position, state in layer.graph.of(State)
        if not layer.graph.only_multiplied(position)
    ]
    for pattern in recipe.state_limits:
        if not any(fnmatchcase(name, pattern) for name in kept):
            raise DeltaloomError(
                f"Recipe state_limits '{pattern}' must match states of the network that are not "
                f"multiplied alone, which are {', '.join(kept) or 'none'}"
            )
    if isinstance(recipe.theta, Mapping):
        for layer_name, operands in recipe.theta.items():
            if layer_name not in layers:
                raise DeltaloomError(
                    f"Recipe theta must name layers of the network, which are "
                    f"{', '.join(layers)}, not '{layer_name}'"
                )
            for operand in operands:
                if f"{layer_name}.{operand}" not in names["activations"]:
                    known = [
                        n.removeprefix(f"{layer_name}.")
                        for n in names["activations"]
                        if n.startswith(f"{layer_name}.")
                    ]
                    raise DeltaloomError(
                        f"Recipe theta of layer {layer_name} must name its operands, which are "
                        f"{', '.join(known)}, not '{operand}'"
                    )
    for name in names["activations"]:
        layer_name, operand = name.rsplit(".", 1)
        bits = recipe.activation_bits(layer_name, operand)
        theta = recipe.theta_of(layer_name, operand)
        if theta >= 1 << bits:
            raise DeltaloomError(
                f"Recipe theta of {name} must be below {1 << bits}, the range of its {bits}-bit "
                f"activation, not {theta}: no difference would reach it"
            )
