"""One float network, quantized by many recipes and measured each time."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..compiler.calibrate import calibrate
from ..compiler.errors import DeltaloomError
from ..compiler.evaluate import evaluate as evaluate_network
from ..compiler.integer import Skip
from ..compiler.integer_network import IntegerNetwork
from ..compiler.network import Network
from ..compiler.quantize import Plan, plan_of, round_network, without_dead_parts
from ..compiler.recipe import Recipe
from ..compiler.signal_noise import signal_to_noise
from ..compiler.states import quantize_states
from ..sim import activity, golden

__all__ = ["Evaluate", "FloatModel", "Model", "Trials", "Wrap", "keep_thresholds", "loss_of"]


class Model(Protocol):
    """What is called with float sequences and gives float outputs."""

    def __call__(self, x: Any, states: Any = None, *, memory: Any = None) -> Any: ...


Evaluate = Callable[[Any], float]
"""The loss of a model, or its error; lower is better."""

Wrap = Callable[[IntegerNetwork, Recipe], Any]
"""Makes the model of an integer network and the recipe it was quantized by."""


class FloatModel:
    """A float network that is called as quantized ones are."""

    def __init__(self, network: Network):
        self.network = network

    def __call__(
        self, x: Any, states: Any = None, *, memory: Any = None
    ) -> np.ndarray | list[np.ndarray]:
        """Outputs as real numbers, shaped as those of a quantized model."""
        return evaluate_network(self.network, x, states=states, memory=memory)


class Trials:
    """Quantizes a network by recipes that share one calibration.

    Parameters
    ----------
    network : Network
        Float network.
    calibration : array or sequence of arrays
        (batch, time, features), or a list of (time, features).
    evaluate : callable, optional
        Loss of a model.
    wrap : callable
        Makes the models that ``evaluate`` is called with.
    states : mapping of str to mapping of str to array, optional
        By layer and state: what the calibration's sequences start from.
    memory : array or sequence of arrays, optional
        As ``calibration``: for a network with a memory.
    """

    def __init__(
        self,
        network: Network,
        calibration: Any,
        evaluate: Evaluate | None,
        wrap: Wrap,
        states: Any = None,
        memory: Any = None,
    ):
        if evaluate is not None and not callable(evaluate):
            raise TypeError(f"Evaluate must be a function of a model, not {evaluate!r}")
        self.network = without_dead_parts(network)
        self._ranges = calibrate(self.network, calibration, states, memory)
        self._x, self._states, self._memory = calibration, states, memory
        self._evaluate, self._wrap = evaluate, wrap

    @cached_property
    def _wanted(self) -> np.ndarray | list[np.ndarray]:
        """Outputs of the float network on the calibration data."""
        return FloatModel(self.network)(self._x, self._states, memory=self._memory)

    def plan(self, recipe: Recipe) -> Plan:
        """Formats, from the calibration that all recipes share."""
        return plan_of(self.network, self._ranges, recipe)

    def model(self, recipe: Recipe) -> Any:
        """The network quantized by a recipe."""
        return self._wrap(round_network(self.plan(recipe)), recipe)

    def error(self, model: Model) -> float:
        """Signal-to-quantization-noise ratio of the outputs on the calibration data, in dB."""
        return signal_to_noise(self._wanted, model(self._x, self._states, memory=self._memory))

    def eliminated(self, model: Any) -> dict[str, float]:
        """Share of columns left out on the calibration data, by ``layer.operand``."""
        sequences = model.quantize_input(self._x, self._memory)
        given, _ = quantize_states(model.network, self._states, len(self._x))
        traces = golden.run(model.network, sequences, given, trace=True).traces
        found = activity.measure(model.network, traces, [len(part) for part in sequences])
        return {
            f"{layer}.{operand}": share.eliminated
            for layer, did in found.layers.items()
            for operand, share in did.columns.items()
        }

    @property
    def evaluates(self) -> bool:
        return self._evaluate is not None

    @cached_property
    def float_loss(self) -> float:
        """Loss of the float network, which is evaluated once."""
        return self.loss(FloatModel(self.network))

    def loss(self, model: Model) -> float:
        """What ``evaluate`` gives; raises DeltaloomError unless that is a number."""
        assert self._evaluate is not None
        return loss_of(self._evaluate, model)


def loss_of(evaluate: Evaluate, model: Model) -> float:
    """What ``evaluate`` gives; raises DeltaloomError unless that is a number."""
    found = evaluate(model)
    number = isinstance(found, int | float | np.integer | np.floating)
    if not number or isinstance(found, bool) or not math.isfinite(found):
        raise DeltaloomError(f"Evaluate must return a finite number, not {found!r}")
    return float(found)


def keep_thresholds(recipe: Recipe, before: Plan, after: Plan) -> Recipe:
    """The recipe of ``after`` with the thresholds that ``before`` has, in the units of ``after``.

    A threshold counts last places of its operand; where these become finer, it counts more.
    """
    if recipe.skip != Skip.DELTA.value or not recipe.theta:
        return recipe
    theta: dict[str, Mapping[str, int]] = {}
    for layer, formats in after.cells.items():
        found = {}
        for operand, format in formats.operands.items():
            old = before.recipe.theta_of(layer, operand)
            finer = format.frac - before.cells[layer].operands[operand].frac
            found[operand] = min(round(old * 2.0**finer), (1 << format.width) - 1)
        theta[layer] = found
    return replace(recipe, theta=theta)
