"""From a trained network to a quantized model, or to a module that trains in its integers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard

from .compiler.errors import DeltaloomError, UnsupportedError
from .compiler.network import Network
from .compiler.quantize import quantize as quantize_network
from .compiler.recipe import Recipe
from .compiler.steps import Steps
from .compiler.wiring import INPUT, MEMORY
from .model import QuantizedModel

if TYPE_CHECKING:
    import torch

    from .search.trials import Evaluate
    from .training.prepared import Prepared

__all__ = [
    "float_network",
    "is_prepared",
    "prepare",
    "quantize",
    "recipe_or_default",
    "steps_given",
]


def quantize(
    model: torch.nn.Module | Network | str | PathLike[str],
    calibration: Any = None,
    recipe: Recipe | None = None,
    *,
    memory: Any = None,
    states: Any = None,
    evaluate: Evaluate | None = None,
    progress: Callable[[str], None] | None = None,
    max_steps: Steps = None,
) -> QuantizedModel:
    """Quantize a trained network after training, or freeze one that was trained in integers.

    Parameters
    ----------
    model : torch.nn.Module, Network, or path of an ONNX file
        Graphs of layers; see :mod:`~deltaloom.compiler.frontends.torch_frontend` for what is taken
        and :func:`~deltaloom.compiler.frontends.onnx_frontend.from_onnx`, which also takes a part
        of a file. Indices of an embedding are one feature; frames are vectors, see
        :func:`~deltaloom.pixel_vectors`. Or what :func:`prepare` gave, alone:
        it has its recipe and ranges.
    calibration : array or list of arrays
        Sample inputs, NumPy or torch, float: (batch, time, features), or a list of
        (time, features).
    recipe : Recipe, optional
        Widths, clipping, skipping. Left out: 8 bits, nothing skipped. With a ``max_loss`` the
        paths to which the loss is most sensitive stay at 16 bits, as many as that needs.
    memory : array or list of arrays, optional
        As ``calibration``, a sequence for each of its own, of other lengths or not: for a network
        with a memory.
    states : mapping of str to mapping of str to array, optional
        By layer and state, float (batch, size): what the sample sequences start from.
    evaluate : callable, optional
        For ``max_loss``: the loss of a model, or its error, as a number; lower is better. It is
        called with models that take float sequences and give float outputs, once with the float
        network, then with quantized ones.
    progress : callable, optional
        Takes a line of text for each step of the search. Left out: a bar on the terminal.
    max_steps : int or mapping of str to int, optional
        Timesteps of the longest sequence, for which layers that walk sequences from their end
        (``bidirectional=True``) or attend to them have room; longer ones are refused. A mapping
        says it by name of ``input`` and ``memory``. Left out: those of the longest sequences of
        the calibration. A Network says so itself.

    Raises
    ------
    UnsupportedError
        For a layer or option that Deltaloom does not do, by name.
    DeltaloomError
        For weights or data that are not finite or have the wrong shape.
    """
    if is_prepared(model):
        given = (calibration, recipe, memory, states, evaluate, max_steps)
        if any(argument is not None for argument in given):
            raise DeltaloomError(
                "Model that was prepared must be quantized without calibration, recipe, memory, "
                "states, evaluate and max_steps: it has its own"
            )
        return QuantizedModel(model.network(), model.recipe)
    recipe = recipe_or_default(recipe)
    network = float_network(model, calibration, max_steps, memory)
    if (recipe.max_loss is None) != (evaluate is None):
        raise DeltaloomError(
            "Evaluate must come with a recipe that has a max_loss, which is what it is for"
            if recipe.max_loss is None
            else "Recipe max_loss must come with evaluate, a function that gives a model's loss"
        )
    if evaluate is None:
        integer = quantize_network(network, calibration, recipe, states, memory=memory)
        return QuantizedModel(integer, recipe)
    from .search.skipping import skip_paths
    from .search.trials import Trials

    trials = Trials(network, calibration, evaluate, QuantizedModel, states, memory)
    found, skipping = skip_paths(trials, recipe, progress)
    return QuantizedModel(found.network, found.recipe, skipping)


def prepare(
    model: torch.nn.Module | Network | str | PathLike[str],
    recipe: Recipe | None,
    calibration: Any,
    *,
    memory: Any = None,
    learn_ranges: bool = False,
    max_steps: Steps = None,
) -> Prepared:
    """Make a torch module that is trained in the integer arithmetic it will be deployed in.

    Training starts with the model's weights; :func:`quantize` freezes the result.

    Parameters
    ----------
    model : torch.nn.Module, Network, or path of an ONNX file
        As :func:`quantize` takes it; it is not changed. The result is called as a module is, and
        as any torch module with one input (batch, time, features) for the others, or with a
        memory besides: ``prepared(x, memory)``.
    recipe : Recipe, optional
        Widths, clipping, skipping and thresholds. None: 8 bits, nothing skipped.
    calibration : array or list of arrays
        Sample inputs, as :func:`quantize` takes them; they choose all ranges.
    memory : array or list of arrays, optional
        As ``calibration``: for a model with a memory.
    learn_ranges : bool
        Whether the ranges of weights and of the inputs of products are trained too (Jain et al.
        2019), as ``ranges.log2_steps``. Otherwise they stay.
    max_steps : int or mapping of str to int, optional
        As :func:`quantize` takes it.

    Raises
    ------
    UnsupportedError
        For a layer or option that Deltaloom does not do, or that has no derivative, by name.
    DeltaloomError
        For weights or data that are not finite or have the wrong shape.
    """
    from .training.prepare import prepare_network

    recipe = recipe_or_default(recipe)
    steps = _steps(model, calibration, memory, max_steps)
    return prepare_network(
        _read(model, steps),
        recipe,
        calibration,
        memory=memory,
        learn_ranges=learn_ranges,
        max_steps=steps,
    )


def recipe_or_default(recipe: Any) -> Recipe:
    """8 bits, nothing skipped, if there is none."""
    if not isinstance(recipe, Recipe | None):
        raise TypeError(f"Recipe must be a deltaloom.Recipe, not {type(recipe).__name__}")
    return recipe or Recipe()


def float_network(
    model: Any, calibration: Any, max_steps: Steps = None, memory: Any = None
) -> Network:
    """The float network of a module or a file."""
    steps = _steps(model, calibration, memory, max_steps)
    model = _read(model, steps)
    if isinstance(model, Network):
        return model
    from .compiler.frontends.torch_frontend import from_torch

    return from_torch(model, steps)


def is_prepared(model: Any) -> TypeGuard[Prepared]:
    """Whether a model came from :func:`prepare`; torch is not imported for that."""
    module = sys.modules.get(f"{__package__}.training.prepared")
    return module is not None and isinstance(model, module.Prepared)


def _read(model: Any, max_steps: Steps) -> Any:
    """The network of a file; any other model as it is."""
    if isinstance(model, str | PathLike):
        if not str(model).lower().endswith(".onnx"):
            raise UnsupportedError(
                f"Model must be a torch.nn.Module, a Network or an ONNX file, not {str(model)!r}"
            )
        from .compiler.frontends.onnx_frontend import from_onnx

        return from_onnx(model, max_steps=max_steps)
    return model


def _steps(model: Any, calibration: Any, memory: Any, max_steps: Any) -> Steps:
    """Timesteps of the longest sequences; None for what is refused later on."""
    if max_steps is None:
        return steps_given(calibration, memory)
    if isinstance(model, Network):
        raise DeltaloomError("max_steps must be left out for a Network, whose layers have it")
    named = isinstance(max_steps, Mapping)
    given = max_steps if named else {INPUT: max_steps}
    for name, steps in given.items():
        if name not in (INPUT, MEMORY):
            raise DeltaloomError(f"max_steps must be by name of input and memory, not {name!r}")
        if type(steps) is not int or steps < 1:
            raise DeltaloomError(f"max_steps must be a positive integer, not {steps!r}")
    return max_steps


def steps_given(x: Any, memory: Any = None) -> dict[str, int | None]:
    """Timesteps of the longest sequences of data; None for what is no data."""
    return {INPUT: _longest(x), MEMORY: _longest(memory)}


def _longest(sequences: Any) -> int | None:
    try:
        return max(map(len, sequences), default=None)
    except TypeError:
        return None
