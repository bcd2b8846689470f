"""What quantization is asked to do: widths, skipping, clipping, for all layers or for some."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any

import numpy as np

from .encodings import ENCODINGS, Encoding
from .recipe_file import read_recipe, write_recipe
from .recipe_values import INTEGERS, OVERRIDES, check_values

__all__ = ["OVERRIDES", "Recipe"]


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
        Columns that are left out: ``none``, ``zero`` (exact), ``delta`` (Neil et al. 2017) or
        ``top_k`` (PeakEngine): all but the ``k`` whose elements changed most, so that every
        timestep takes the same time.
    theta : int or mapping of layer to mapping of operand to int
        Least difference that is not skipped by ``delta``, in units of the activation's last
        place; 0 is exact. Layers and operands that a mapping leaves out have 0.
    k : int or mapping of layer to mapping of operand to int, optional
        Elements of each vector that ``top_k`` multiplies, up to 64. An integer stands for all
        operands, of which smaller ones are multiplied whole; so are layers and operands that a
        mapping leaves out.
    clip : str
        Range of weights, activations and states: ``minmax`` covers every value of the
        calibration, ``mse`` minimises the mean squared error (Rezk et al. 2022), that of the
        network's outputs where a state is concerned.
    paths : mapping of pattern to mapping of str to str
        Overrides by name, as in ``fnmatch``, later ones first. ``weights`` and ``scale`` apply
        to ``layer.gate.operand``, as in ``{"rnn.0.*.h": {"weights": "int16"}}``, and
        ``activations`` to ``layer.operand``, as in ``{"rnn.0.x": {"activations": "int16"}}``.
        All paths of a gate have the same kind of scale.
    state_limits : mapping of pattern to float
        Largest magnitude that a state is kept for, by ``layer.state`` as in ``fnmatch``, later
        ones first: ``{"lstm.0.c": 64}``. Beyond it the state saturates, which is counted; below
        it the state is finer. Left out: as ``clip`` says.
    operand_limits : mapping of pattern to float
        The same for inputs of cells' matrix-vector products, by ``layer.operand``:
        ``{"gru.0.x": 4}``. With few bits the range whose values err least in ``mse`` need not be
        the one whose outputs do. A limit holds for every width, 16 bits included.
    elementwise : int
        Bits of gates, states and everything element-wise, 4 to 16.
    activation_error : float, optional
        Worst error of an activation table over every input code, in units of its result's last
        place. Left out: 1 for results of up to 8 bits, 2 for wider ones.
    tables : str
        Segments of activation tables: ``uniform``, or ``adaptive`` (Sari et al. 2021), whose
        knots lie where the function bends and need no memory. A function that is piecewise linear
        itself has its own pieces, whatever is asked for.
    knots : str
        What the deletion of a knot of adaptive tables costs: the ``largest`` error it leaves, or
        the ``squares`` of errors that it adds.
    segments : int, optional
        Segments of a table, instead of an error: a power of two of uniform ones, up to 64 of
        adaptive ones.
    output : int, optional
        Bits of the last layer's output, 2 to 16; or 32, which are the sums of a last linear layer
        as they are, never rounded (Sari et al. 2021). Left out: ``elementwise``.
    scale : str
        Scales of weights: ``power-of-two``, one for each gate and path, or ``real``: times a
        mantissa of 16 bits that all paths of a gate share and a multiplier of the gate pipeline
        takes up.
    rounding : str
        Of weights: ``nearest``; ``stochastic`` (Courbariaux et al. 2015), where a model is
        quantized after training by one draw, and one in training by a fresh draw each time; or
        ``compensated`` (Frantar et al. 2022), after training alone: column by column, the error
        of each made up for by the later ones and the bias, as the calibration data want it.
    seed : int
        Of stochastic rounding after training; the same seed gives the same weights.
    max_loss : float, optional
        By how much the loss may exceed the float model's, in units of ``evaluate``, which
        :func:`deltaloom.quantize` then needs: the most sensitive paths stay at 16 bits until it is
        within that (Rezk et al. 2022).
    """

    weights: str = "int8"
    activations: str = "int8"
    skip: str = "none"
    theta: int | Mapping[str, Mapping[str, int]] = 0
    k: int | Mapping[str, Mapping[str, int]] | None = None
    clip: str = "mse"
    paths: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    state_limits: Mapping[str, float] = field(default_factory=dict)
    operand_limits: Mapping[str, float] = field(default_factory=dict)
    elementwise: int = 16
    activation_error: float | None = None
    tables: str = "uniform"
    knots: str = "largest"
    segments: int | None = None
    output: int | None = None
    scale: str = "power-of-two"
    rounding: str = "nearest"
    seed: int = 0
    max_loss: float | None = None

    def __post_init__(self) -> None:
        check_values(self)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Recipe":
        """Read a TOML file whose keys are the parameters."""
        return cls(**read_recipe(path, [parameter.name for parameter in fields(cls)]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a TOML file that :meth:`load` reads; it appears whole or not at all."""
        write_recipe(self.to_dict(), path)

    def to_dict(self) -> dict[str, Any]:
        """The parameters that are not the default, for programs and files."""
        return {
            parameter.name: plain(value)
            for parameter in fields(self)
            if (value := getattr(self, parameter.name)) != default_of(parameter)
        }

    def weight_encoding(self, layer: str, key: str) -> Encoding:
        """Encoding of the weights ``key`` (``gate.operand``) of a layer."""
        return ENCODINGS[self._override(f"{layer}.{key}", "weights") or self.weights]

    def scale_kind(self, layer: str, key: str) -> str:
        """Kind of scale of the weights ``key`` (``gate.operand``) of a layer."""
        return self._override(f"{layer}.{key}", "scale") or self.scale

    def weight_generator(self, layer: str, key: str) -> np.random.Generator | None:
        """What weights ``key`` of a layer are drawn with; None if they are not."""
        if self.rounding != "stochastic":
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

    def kept_of(self, layer: str, operand: str, size: int) -> int:
        """How many of an operand's elements ``top_k`` multiplies."""
        assert self.k is not None
        if isinstance(self.k, Mapping):
            return self.k.get(layer, {}).get(operand, size)
        return min(self.k, size)

    def state_limit(self, layer: str, state: str) -> float | None:
        """Magnitude from which on a state may saturate; None if calibration decides."""
        return _last_match(self.state_limits, f"{layer}.{state}")

    def operand_limit(self, layer: str, operand: str) -> float | None:
        """Magnitude from which on an operand may saturate; None if calibration decides."""
        return _last_match(self.operand_limits, f"{layer}.{operand}")

    def table_budget(self, width: int) -> float:
        """Worst error allowed to a table with results of ``width`` bits."""
        return self.activation_error or (1 if width <= 8 else 2)

    def _override(self, name: str, what: str) -> str | None:
        found = None
        for pattern, overrides in self.paths.items():
            if what in overrides and fnmatchcase(name, pattern):
                found = overrides[what]
        return found


def _last_match(limits: Mapping[str, float], name: str) -> float | None:
    found = [limit for pattern, limit in limits.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else None


def plain(value: Any) -> Any:
    """A parameter in dictionaries, strings and numbers alone."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return value


def default_of(parameter: Field[Any]) -> Any:
    if parameter.default_factory is not MISSING:
        return parameter.default_factory()
    return parameter.default
