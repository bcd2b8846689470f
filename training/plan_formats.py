"""All formats of a plan by name, and plans with other ones."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ..compiler.encodings import WeightFormat
from ..compiler.fixed import Format
from ..compiler.formats import LayerFormats
from ..compiler.quantize import Plan

__all__ = ["AnyFormat", "Place", "formats_of", "with_formats"]

AnyFormat = Format | WeightFormat
"""Of values, or of weights."""

Place = tuple[str, str, str]
"""Layer, field of its :class:`~deltaloom.compiler.formats.LayerFormats`, name; or for a stream
its name, ``"stream"`` and nothing."""


def formats_of(plan: Plan) -> dict[Place, AnyFormat]:
    """Every format that was chosen."""
    found: dict[Place, AnyFormat] = {
        (name, "stream", ""): format for name, format in plan.streams.items()
    }
    for layer, formats in plan.cells.items():
        for field in fields(LayerFormats):
            value = getattr(formats, field.name)
            if isinstance(value, Format):
                found[layer, field.name, ""] = value
            else:
                found |= {(layer, field.name, name): each for name, each in value.items()}
    return found


def with_formats(plan: Plan, formats: Mapping[Place, AnyFormat]) -> Plan:
    """The plan with ``formats`` in the places of :func:`formats_of`."""
    cells = {}
    for layer, old in plan.cells.items():
        changes: dict[str, AnyFormat | dict[str, AnyFormat]] = {}
        for field in fields(LayerFormats):
            value = getattr(old, field.name)
            changes[field.name] = (
                formats[layer, field.name, ""]
                if isinstance(value, Format)
                else {name: formats[layer, field.name, name] for name in value}
            )
        cells[layer] = LayerFormats(**changes)  # type: ignore[arg-type]
    streams: dict[str, Any] = {name: formats[name, "stream", ""] for name in plan.streams}
    return replace(plan, cells=cells, streams=streams)
