"""Deltaloom: trained recurrent networks as fixed-point hardware, proven equal to their model."""

from importlib import import_module
from types import ModuleType

from .compiler.convolution import frames, pixel_vectors
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
from .explorer import explore
from .inspection import Inspection, inspect
from .model import QuantizedModel, load
from .project import open_design
from .quantization import prepare, quantize
from .search.exploration import Exploration, Point
from .searches import sensitivity, sweep
from .sim.result import Run

__all__ = [
    "Check",
    "DeltaloomError",
    "Design",
    "DoesNotFitError",
    "Exploration",
    "Inspection",
    "MismatchError",
    "ModelFileError",
    "Point",
    "QuantizedModel",
    "Recipe",
    "Run",
    "ToolMissingError",
    "UnsupportedError",
    "explore",
    "frames",
    "generate",
    "inspect",
    "load",
    "open_design",
    "pixel_vectors",
    "prepare",
    "quantize",
    "sensitivity",
    "sweep",
]


def __getattr__(name: str) -> ModuleType:
    """Import ``nn`` when it is asked for, as it needs torch."""
    if name == "nn":
        return import_module(".compiler.nn", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
