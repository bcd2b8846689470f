"""Integers of any width as bytes without gaps."""

from typing import Any

import numpy as np

__all__ = ["NATIVE", "pack", "packed_bytes", "unpack"]

NATIVE: dict[int, np.dtype[Any]] = {
    8: np.dtype("<i1"),
    16: np.dtype("<i2"),
    32: np.dtype("<i4"),
    64: np.dtype("<i8"),
}
"""Widths that are stored as they are."""


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that ``count`` integers of ``bits`` bits take."""
    return (count * bits + 7) // 8


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Signed integers as uint8 (packed_bytes,), the first in the lowest bits; zero padding."""
    places = np.arange(bits)
    ones = (values.reshape(-1, 1) >> places) & 1
    return np.packbits(ones.astype(np.uint8).reshape(-1), bitorder="little")


def unpack(data: np.ndarray, bits: int, shape: tuple[int, ...]) -> np.ndarray:
    """Int64 of ``shape`` from what :func:`pack` made of it."""
    count = int(np.prod(shape, dtype=np.int64))
    ones = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
    values = np.zeros(count, dtype=np.int64)
    for place in range(bits):
        values |= ones[:, place].astype(np.int64) << place
    sign = np.int64(1) << (bits - 1)
    return ((values ^ sign) - sign).reshape(shape)
