"""Recipe and formats of a prepared module as a tensor, for checkpoints that hold tensors alone."""

import json
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from ..compiler.encodings import ENCODINGS, WeightFormat
from ..compiler.errors import DeltaloomError
from ..compiler.fixed import Format
from ..compiler.quantize import Plan
from ..compiler.recipe import Recipe
from ..compiler.recipe_names import check_recipe
from .plan_formats import AnyFormat, Place, formats_of, with_formats

__all__ = ["decode", "encode"]

MAX_FRACTION = 256
"""No format has more fraction bits, before the point or behind it."""


def encode(plan: Plan) -> Tensor:
    """Uint8 tensor of a JSON text."""
    formats = [[*place, *_numbers(format)] for place, format in formats_of(plan).items()]
    text = json.dumps({"recipe": _plain(plan.recipe), "formats": formats})
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def decode(state: Any, plan: Plan) -> Plan:
    """The plan with the formats and thresholds of a checkpoint.

    Raises
    ------
    DeltaloomError
        If it is no such tensor, or was made with another recipe or for other layers.
    """
    try:
        found = json.loads(bytes(state.tolist()))
        recipe = dict(found["recipe"])
        formats: dict[Place, AnyFormat] = {
            (layer, field, name): _format(*numbers)
            for layer, field, name, *numbers in found["formats"]
        }
        if any(abs(format.frac) > MAX_FRACTION for format in formats.values()):
            raise ValueError("fraction bits")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise DeltaloomError(
            "Checkpoint must hold the recipe and the formats of a prepared module"
        ) from None
    ours = _plain(plan.recipe)
    differing = [
        name
        for name in ours
        if name not in recipe or (recipe[name] != ours[name] and name != "theta")
    ]
    if differing or len(recipe) != len(ours):
        raise DeltaloomError(
            f"Checkpoint must be made with the recipe of the module that takes it; they differ "
            f"in {', '.join(differing) or 'their options'}"
        )
    mine = formats_of(plan)
    if formats.keys() != mine.keys() or any(
        _kind(format) != _kind(mine[place]) for place, format in formats.items()
    ):
        raise DeltaloomError("Checkpoint must be made for the layers of the module that takes it")
    thresholds = replace(plan.recipe, theta=recipe["theta"])
    check_recipe(thresholds, plan.network)
    return with_formats(replace(plan, recipe=thresholds), formats)


def _numbers(format: AnyFormat) -> list[Any]:
    if isinstance(format, WeightFormat):
        return [str(format.encoding), format.frac, format.multiplier]
    return [format.width, format.frac, format.signed]


def _format(kind: Any, frac: int, last: int) -> AnyFormat:
    if not isinstance(kind, str):
        return Format(kind, frac, bool(last))
    return WeightFormat(ENCODINGS[kind], frac, last)


def _kind(format: AnyFormat) -> Any:
    """What training does not change."""
    if isinstance(format, WeightFormat):
        return format.encoding
    return format.width, format.signed


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return found
