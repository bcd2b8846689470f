"""What every check of an integer network asks for, and how it refuses."""

import re
from collections.abc import Sequence

import numpy as np

from ..fixed import Format

__all__ = ["MAX_FRACTION", "NAME", "check_array", "check_format", "require"]

MAX_FRACTION = 256
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def check_format(what: str, format: Format | None, width: int) -> Format:
    require(format is not None, f"{what} must have a format")
    assert format is not None
    require(
        format.signed and 1 <= format.width <= width and abs(format.frac) <= MAX_FRACTION,
        f"{what} must have a signed format of at most {width} bits, not {format}",
    )
    return format


def check_array(what: str, values: np.ndarray, shape: Sequence[int]) -> None:
    require(values.dtype == np.int64, f"{what} must be int64, not {values.dtype}")
    require(values.shape == shape, f"{what} must have shape {shape}, not {values.shape}")
