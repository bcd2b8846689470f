"""What quantization costs, before one recipe is settled on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

from .compiler.errors import DeltaloomError
from .compiler.network import Network
from .compiler.recipe import Recipe
from .compiler.steps import Steps
from .model import QuantizedModel
from .quantization import float_network, is_prepared, recipe_or_default
from .search.sensitivity import Sensitivity, measure_sensitivity
from .search.sweep import WIDTHS, Sweep, sweep_widths
from .search.trials import Evaluate, Trials

if TYPE_CHECKING:
    import torch

__all__ = ["sensitivity", "sweep"]


def sensitivity(
    model: torch.nn.Module | Network | str | PathLike[str],
    calibration: Any,
    recipe: Recipe | None = None,
    evaluate: Evaluate | None = None,
    *,
    memory: Any = None,
    states: Any = None,
    max_steps: Steps = None,
    progress: Callable[[str], None] | None = None,
) -> Sensitivity:
    """What the quantization of each path costs when all others have 16 bits (Rezk et al. 2022).

    A path is an input of a layer's matrix-vector products. Its vectors and the weights they meet
    are measured apart.

    Parameters
    ----------
    model, calibration, memory, states, max_steps
        As :func:`~deltaloom.quantize` takes them; errors of outputs are measured on the
        calibration's sequences.
    recipe : Recipe, optional
        Whose widths are measured; its thresholds and ``max_loss`` have no part in it. Left out:
        8 bits.
    evaluate : callable, optional
        Loss of a model, as :func:`~deltaloom.quantize` takes it. Left out: errors alone.
    progress : callable, optional
        Takes a line of text for each step. Left out: a bar on the terminal.
    """
    recipe = recipe_or_default(recipe)
    trials = trials_of(model, calibration, evaluate, states, max_steps, memory)
    return measure_sensitivity(trials, recipe, progress)


def sweep(
    model: torch.nn.Module | Network | str | PathLike[str],
    calibration: Any,
    evaluate: Evaluate | None = None,
    weights: Iterable[int | str] = WIDTHS,
    activations: Iterable[int | str] = WIDTHS,
    recipe: Recipe | None = None,
    *,
    memory: Any = None,
    states: Any = None,
    max_steps: Steps = None,
    progress: Callable[[str], None] | None = None,
) -> Sweep:
    """Loss and memory of every pair of widths (Rapuano, Pacini and Fanucci 2022).

    Each path has scales of its own, powers of two, for its weights and its activations.

    Parameters
    ----------
    model, calibration, memory, states, max_steps
        As :func:`~deltaloom.quantize` takes them.
    evaluate : callable, optional
        Loss of a model, as :func:`~deltaloom.quantize` takes it. Left out: the error of the
        outputs on the calibration data takes its place.
    weights, activations : iterable of int or str
        Widths in bits, or names as a recipe has them (``"ternary"``).
    recipe : Recipe, optional
        All else; its overrides by path apply to every pair. Left out: the defaults.
    progress : callable, optional
        Takes a line of text for each step. Left out: a bar on the terminal.
    """
    recipe = recipe_or_default(recipe)
    trials = trials_of(model, calibration, evaluate, states, max_steps, memory)
    return sweep_widths(trials, recipe, weights, activations, progress)


def trials_of(
    model: Any,
    calibration: Any,
    evaluate: Evaluate | None,
    states: Any,
    max_steps: Steps,
    memory: Any,
) -> Trials:
    """Of a model that was not prepared."""
    if is_prepared(model):
        raise DeltaloomError("Model must be in float; one that was prepared has its recipe")
    network = float_network(model, calibration, max_steps, memory)
    return Trials(network, calibration, evaluate, QuantizedModel, states, memory)
