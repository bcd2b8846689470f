"""Values of untrusted JSON, taken only as what they should be: else a ``ValueError``."""

import re
from typing import Any

from .fixed import Format

__all__ = [
    "flag",
    "format_of",
    "integer",
    "mapping",
    "real",
    "record",
    "sequence",
    "signed",
    "text",
]

FORMAT = re.compile(r"s([1-9][0-9]?)\.(0|-?[1-9][0-9]{0,2})")
LARGEST = 1 << 40


def record(value: object, what: str, keys: set[str]) -> dict[str, Any]:
    found = mapping(value, what)
    if set(found) != keys:
        raise ValueError(f"{what} must have {', '.join(sorted(keys))}")
    return dict(found)


def mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    return value


def sequence(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list")
    return value


def text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 200:
        raise ValueError(f"{what} must be a name of 1 to 200 printable characters")
    return value


def integer(value: object, what: str) -> int:
    """A count, position or threshold."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"{what} must have a non-negative integer")
    return value


def signed(value: object, what: str) -> int:
    """A number of either sign."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= LARGEST:
        raise ValueError(f"{what} must have an integer")
    return value


def flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} must have true or false")
    return value


def real(value: object, what: str) -> float:
    """A finite number that is not negative."""
    if not isinstance(value, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{what} must have a non-negative number")
    return value


def format_of(value: object, what: str) -> Format:
    match = FORMAT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{what} must have a format like s16.15")
    return Format(int(match[1]), int(match[2]))
