"""Attention as plain values, and back."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .integer_attention import IntegerAttention
from .plain_values import flag, format_of, integer, mapping, record, sequence, signed, text
from .pwl import PiecewiseLinear

__all__ = ["ATTENTION", "describe_attention", "energies_name", "rebuild_attention"]

ATTENTION = "Attention"
"""The kind of its description."""

COUNTS = ("max_steps", "size", "value_size", "multiplier")
FLAGS = ("causal", "skips_zeros")
FORMATS = ("query", "key", "value", "weight", "format")
ENERGY_FORMATS = ("energy", "hidden")


def energies_name(index: int) -> str:
    """Name of the energies of the layer at a place in the network."""
    return f"layer.{index}.energies"


def describe_attention(
    layer: IntegerAttention, tables: Sequence[PiecewiseLinear]
) -> dict[str, Any]:
    """Everything but the energies; their formats are said only where there are any."""
    formats = (*FORMATS, *(ENERGY_FORMATS if layer.energies is not None else ()))
    return {
        "kind": ATTENTION,
        "name": layer.name,
        "sources": list(layer.sources),
        "form": layer.form,
        "exponent": layer.exponent,
        **{name: getattr(layer, name) for name in (*COUNTS, *FLAGS)},
        **{name: str(getattr(layer, name)) for name in formats},
        "tables": {name: tables.index(table) for name, table in layer.tables.items()},
    }


def rebuild_attention(
    index: int,
    entry: dict[str, Any],
    tables: Sequence[PiecewiseLinear],
    take: Callable[[str], np.ndarray],
) -> IntegerAttention:
    """The layer of a description; ``take`` gives an array of the file by its name."""
    what = f"Layer {index}"
    energies = any(name in entry for name in ENERGY_FORMATS)
    formats = (*FORMATS, *(ENERGY_FORMATS if energies else ()))
    keys = {"kind", "name", "sources", "form", "exponent", "tables", *COUNTS, *FLAGS, *formats}
    values = record(entry, what, keys)
    uses = {
        name: integer(place, f"Table of {what}")
        for name, place in mapping(values["tables"], f"Tables of {what}").items()
    }
    if any(place >= len(tables) for place in uses.values()):
        raise ValueError(f"{what} must use tables of the file")
    plain: dict[str, Any] = {name: integer(values[name], what) for name in COUNTS}
    plain |= {name: flag(values[name], what) for name in FLAGS}
    plain |= {name: format_of(values[name], what) for name in formats}
    return IntegerAttention(
        name=text(values["name"], f"Name of {what}"),
        sources=tuple(text(s, what) for s in sequence(values["sources"], f"Sources of {what}")),
        form=text(values["form"], f"Form of {what}"),
        exponent=signed(values["exponent"], f"Exponent of {what}"),
        tables={name: tables[place] for name, place in uses.items()},
        energies=take(energies_name(index)) if energies else None,
        **plain,
    )
