"""What a command of the command line is made of."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType

from .display import DONE, Progress

__all__ = ["INPUT_HELP", "Answer", "Argument", "Command", "argument"]

INPUT_HELP = (
    ".npz with x (batch, time, features), and lengths (batch,) if it is padded; for pairs memory "
    "and memory_lengths besides"
)


@dataclass
class Answer:
    """What a command found: for programs, for people, and whether a check failed."""

    data: dict[str, Any]
    tables: list[RenderableType] = field(default_factory=list)
    status: int = DONE


Command = Callable[[argparse.Namespace, Progress], Answer]
"""Runs a command; its docstring describes it."""

Argument = tuple[tuple[str, ...], dict[str, Any]]
"""Names and options of an argument, as argparse takes them."""


def argument(*names: str, **options: Any) -> Argument:
    return names, options
