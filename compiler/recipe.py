"""What quantization is asked to do: widths, skipping, clipping, for all layers or for some."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any

import numpy as np

from .encodings import ENCODINGS, Encoding
from .errors import DeltaloomError, UnsupportedError
from .integer import Skip

__all__ = ["OVERRIDES", "Recipe"]

INTEGERS = {f"int{bits}": bits for bits in range(2, 17)}
SKIPS = tuple(mode.value for mode in Skip)
CLIPS = ("minmax", "mse")
TABLES = ("uniform", "adaptive")
SCALES = ("power-of-two", "real")
ROUNDINGS = ("nearest", "stochastic")
OVERRIDES = ("weights", "activations", "scale")
ELEMENTWISE = range(4, 17)


@dataclass(frozen=True)
class Recipe:
    """How a network becomes integers.

    Parameters
    ----------
    weights : str
        Encoding of weights: ``int2`` to ``int16``, ``binary``, ``ternary``, ``quaternary``
        (Alom et al. 2018), ``shift2``, ``shift3``, ``shift4`` (zero-free powers of two, Li et al.
        2023). All but the integers need no multiplier.
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
        All paths of a gate have the same kind of scale.
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
    scale : str
        Scales of weights: ``power-of-two``, one for each gate and path, or ``real``: times a
        mantissa of 16 bits that all paths of a gate share and a multiplier of the gate pipeline
        takes up.
    rounding : str
        Of weights: ``nearest``, or ``stochastic`` (Courbariaux et al. 2015), where a model is
        quantized after training by one draw, and one in training by a fresh draw each time.
    seed : int
        Of stochastic rounding after training; the same seed gives the same weights.
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
    scale: str = "power-of-two"
    rounding: str = "nearest"
    seed: int = 0

    def __post_init__(self) -> None:
        check_encoding("weights", self.weights)
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
        one_of("scale", self.scale, SCALES)
        one_of("rounding", self.rounding, ROUNDINGS)
        if not is_integer(self.seed) or not 0 <= self.seed < 1 << 32:
            raise DeltaloomError(
                f"Recipe seed must be an integer from 0 to 2**32 - 1, not {self.seed!r}"
            )
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
                what = f"paths '{pattern}' {name}"
                if name == "scale":
                    one_of(what, value, SCALES)
                elif name == "weights":
                    check_encoding(what, value)
                elif name == "activations":
                    integer_bits(what, value)
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

    def weight_encoding(self, layer: str, key: str) -> Encoding:
        """Encoding of the weights ``key`` (``gate.operand``) of a layer."""
        return ENCODINGS[self._override(f"{layer}.{key}", "weights") or self.weights]

    def scale_kind(self, layer: str, key: str) -> str:
        """Kind of scale of the weights ``key`` (``gate.operand``) of a layer."""
        return self._override(f"{layer}.{key}", "scale") or self.scale

    def weight_generator(self, layer: str, key: str) -> np.random.Generator | None:
        """What weights ``key`` of a layer are rounded with; None if to the nearest."""
        if self.rounding == "nearest":
            return None
        return np.random.default_rng([self.seed, *f"{layer}.{key}".encode()])

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
    raise DeltaloomError(f"Recipe {what} must be one of int2 to int16, not {value!r}")


def check_encoding(what: str, value: object) -> None:
    if not isinstance(value, str) or value not in ENCODINGS:
        others = ", ".join(name for name in ENCODINGS if name not in INTEGERS)
        raise DeltaloomError(f"Recipe {what} must be one of int2 to int16, {others}, not {value!r}")


def one_of(what: str, value: object, names: tuple[str, ...]) -> None:
    if value not in names:
        raise DeltaloomError(f"Recipe {what} must be one of {', '.join(names)}, not {value!r}")


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_threshold(what: str, value: object) -> None:
    if not is_integer(value) or value < 0:  # type: ignore[operator]
        raise DeltaloomError(f"{what} must be a non-negative integer, not {value!r}")
