"""Deltaloom: trained recurrent networks as fixed-point hardware, proven equal to their model."""

from .compiler.errors import (
    DeltaloomError,
    DoesNotFitError,
    MismatchError,
    ModelFileError,
    ToolMissingError,
    UnsupportedError,
)
from .compiler.recipe import Recipe
from .design import Check, Design, generate
from .model import QuantizedModel, load, quantize
from .project import open_design
from .sim.result import Run

__all__ = [
    "Check",
    "DeltaloomError",
    "Design",
    "DoesNotFitError",
    "MismatchError",
    "ModelFileError",
    "QuantizedModel",
    "Recipe",
    "Run",
    "ToolMissingError",
    "UnsupportedError",
    "generate",
    "load",
    "open_design",
    "quantize",
]
