"""Where a quantized model loses what its float model has: edge by edge, part by part, in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .compiler.errors import DeltaloomError
from .compiler.evaluate import as_pairs, evaluate
from .compiler.integer import IntegerLayer, Skip
from .compiler.integer_network import IntegerNetwork
from .compiler.network import Network
from .compiler.signal_noise import signal_to_noise
from .compiler.wiring import INPUT, MEMORY
from .model import QuantizedModel
from .plots import Bars, Lines, Panel, Series, draw
from .quantization import float_network, is_prepared
from .sim import golden
from .sim.edges import Edge, measure_edges
from .sim.reference import Part, alone, parts_of, reference_network

if TYPE_CHECKING:
    import torch

__all__ = ["Inspection", "PartNoise", "inspect"]

FLOAT, OWN = "float model", "the model's own weights in float"
SHOWN = 24
"""Bars of a picture: the worst ones."""


@dataclass(frozen=True)
class PartNoise:
    """What one part of a network costs when all else is in float.

    Parameters
    ----------
    part : Part
        What is quantized alone.
    ratio : float
        Signal-to-quantization-noise ratio of the network's outputs, in dB: small is bad.
    """

    part: Part
    ratio: float


@dataclass(frozen=True)
class Inspection:
    """A quantized model beside a float one, on the same data.

    Parameters
    ----------
    reference : str
        Whose weights the float model has: ``float model``, the given one, or ``the model's own
        weights in float``, to which weights cost nothing.
    ratio : float
        Signal-to-quantization-noise ratio of the outputs, in dB.
    edges : tuple of Edge
        In the order in which they are computed. Errors add up on the way: an edge has its own
        and what came before it.
    parts : tuple of PartNoise
        What each part of the cells, the input and skipping cost alone at the outputs, the worst
        one first: this says what to change. Roundings of streams and within attention are in the
        edges alone.
    """

    reference: str
    ratio: float
    edges: tuple[Edge, ...]
    parts: tuple[PartNoise, ...]

    @property
    def worst_part(self) -> Part:
        """What alone costs most."""
        return self.parts[0].part

    @property
    def worst_edge(self) -> Edge:
        """The edge with the least signal-to-quantization-noise ratio."""
        return min(self.edges, key=lambda edge: edge.ratio)

    @property
    def outputs(self) -> dict[str, Edge]:
        """By cell: the edge that leaves it."""
        return {edge.layer: edge for edge in self.edges if edge.leaves}

    @property
    def worst_timestep(self) -> int:
        """Timestep with the largest error in the last cell that has several timesteps."""
        edges = list(self.outputs.values()) or list(self.edges)
        lasting = [edge for edge in edges if np.count_nonzero(edge.count) > 1]
        return (lasting or edges)[-1].worst_timestep

    def to_dict(self) -> dict[str, Any]:
        """For programs; a ratio that is not finite is None."""
        return {
            "reference": self.reference,
            "ratio_db": finite(self.ratio),
            "worst": {
                "part": str(self.worst_part),
                "edge": self.worst_edge.name,
                "timestep": self.worst_timestep,
            },
            "parts": [
                {
                    "layer": found.part.layer,
                    "what": found.part.what,
                    "name": found.part.name,
                    "of": found.part.of,
                    "ratio_db": finite(found.ratio),
                }
                for found in self.parts
            ],
            "edges": [
                {
                    "edge": edge.name,
                    "kind": edge.kind,
                    "format": str(edge.format),
                    "ratio_db": finite(edge.ratio),
                    "saturated": edge.saturated,
                    "values": edge.total,
                    "worst_timestep": edge.worst_timestep,
                }
                for edge in self.edges
            ],
            "errors_by_timestep": {
                layer: edge.errors[edge.count > 0].tolist() for layer, edge in self.outputs.items()
            },
        }

    def part_rows(self) -> list[tuple[str, ...]]:
        """Titles, then a row for each part, the worst first."""
        rows = [
            (found.part.layer, found.part.what, found.part.of, decibels(found.ratio))
            for found in self.parts
        ]
        return [("layer", "alone", "of", "outputs, dB"), *rows]

    def edge_rows(self) -> list[tuple[str, ...]]:
        """Titles, then a row for each edge."""
        rows = [
            (
                edge.name,
                edge.kind,
                str(edge.format),
                decibels(edge.ratio),
                f"{edge.saturated:,}",
                f"{edge.saturated / max(edge.total, 1):.2%}",
                str(edge.worst_timestep),
            )
            for edge in self.edges
        ]
        titles = ("edge", "kind", "format", "dB", "saturated", "share", "worst timestep")
        return [titles, *rows]

    def panels(self) -> list[Panel]:
        """Parts, edges and errors in time, as :func:`~deltaloom.plots.draw` takes them."""
        parts = {str(found.part): found.ratio for found in self.parts if math.isfinite(found.ratio)}
        edges = {edge.name: edge.ratio for edge in self.edges if math.isfinite(edge.ratio)}
        worst = dict(sorted(edges.items(), key=lambda item: item[1])[:SHOWN])
        times = [
            Series(layer, list(np.flatnonzero(edge.count)), list(edge.errors[edge.count > 0]))
            for layer, edge in self.outputs.items()
        ]
        return [
            Bars(
                "Quantized alone",
                "signal to noise of the outputs, dB",
                "",
                dict(list(parts.items())[:SHOWN]),
                marked=[str(self.worst_part)],
            ),
            Bars(
                "Edges against float",
                "signal to noise, dB",
                "",
                {name: ratio for name, ratio in edges.items() if name in worst},
                marked=[self.worst_edge.name],
            ),
            Lines("Error in time", "timestep", "root-mean-square error", times),
        ]

    def plot(self, path: str | PathLike[str]) -> Path:
        """Draw the picture: an SVG, PNG or PDF file."""
        return draw(path, *self.panels())


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decibels(value: float) -> str:
    return f"{value:.1f}"


def inspect(
    qmodel: QuantizedModel,
    model: torch.nn.Module | Network | str | PathLike[str] | None,
    x: Any,
    *,
    memory: Any = None,
    progress: Callable[[str], None] | None = None,
) -> Inspection:
    """Say where a quantized model loses what a float one has.

    Parameters
    ----------
    qmodel : QuantizedModel
        What is looked into.
    model : torch.nn.Module, Network, or path of an ONNX file, optional
        The float model that it comes from. None: its own weights in float, so that the weights'
        share of the loss is not seen.
    x : array or list of arrays
        Inputs, as both take them.
    memory : array or list of arrays, optional
        As ``x``, a sequence for each of its own: for a network with a memory.
    progress : callable, optional
        Takes a line of text for each step.

    Raises
    ------
    DeltaloomError
        If the float model is none that the quantized one can come from.
    """
    if not isinstance(qmodel, QuantizedModel):
        raise TypeError(f"Model must be a QuantizedModel, not {type(qmodel).__name__}")
    if model is not None and is_prepared(model):
        raise DeltaloomError("Float model must be in float, not a module that was prepared")
    network = qmodel.network
    given = {name: list(own) for name, own in as_pairs(network.input_sizes, x, memory).items()}
    real = None if model is None else float_network(model, x, memory=memory)
    beside = reference_network(network, real)
    say = progress or (lambda text: None)
    wanted = outputs_of(beside, given)
    edges = measure_edges(network, beside, given, say)
    parts = parts_of(network, weights=real is not None)
    found = []
    for number, part in enumerate(parts, 1):
        say(f"Part {number} of {len(parts)}: {part}")
        changed = outputs_of(alone(beside, network, part), given)
        found.append(PartNoise(part, signal_to_noise(wanted, changed)))
    for name, own in given.items():
        format = network.formats[name]
        taken = [format.dequantize(format.quantize(sequence)) for sequence in own]
        ratio = signal_to_noise(wanted, outputs_of(beside, given | {name: taken}))
        found.append(PartNoise(Part(name, "", "operand", "x"), ratio))
    rounded = qmodel.quantize_input(given[INPUT], given.get(MEMORY))
    found += skipped(network, rounded)
    found.sort(key=lambda part: part.ratio)
    integers = golden.run(network, rounded).outputs
    whole = signal_to_noise(wanted, [network.output_format.dequantize(part) for part in integers])
    return Inspection(FLOAT if real else OWN, whole, tuple(edges), tuple(found))


def outputs_of(network: Network, given: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Outputs of each sequence, (time, features)."""
    found = evaluate(network, given[INPUT], memory=given.get(MEMORY))
    return [np.atleast_2d(part) for part in found]


def skipped(network: IntegerNetwork, sequences: Sequence[np.ndarray]) -> list[PartNoise]:
    """What skipping costs alone, by operand where it has thresholds; nothing where it is exact.

    ``sequences`` are integers, in the order of the port.
    """
    kept: list[tuple[Part, IntegerLayer]] = []
    for layer in network.computing:
        thetas = {name: theta for name, theta in layer.theta.items() if theta > 1}
        for name, theta in thetas.items():
            kept.append(
                (Part(layer.name, name, "threshold", name), replace(layer, theta={name: theta}))
            )
        if not thetas and layer.skip is not Skip.NONE:
            kept.append((Part(layer.name, "", "skipping", layer.skip.value), layer))

    def run(own: IntegerLayer | None) -> list[np.ndarray]:
        layers = [
            (own if own and own.name == layer.name else replace(layer, skip=Skip.NONE, theta={}))
            if isinstance(layer, IntegerLayer)
            else layer
            for layer in network.layers
        ]
        found = golden.run(replace(network, layers=tuple(layers)), sequences).outputs
        return [network.output_format.dequantize(part) for part in found]

    wanted = run(None) if kept else []
    found = [PartNoise(part, signal_to_noise(wanted, run(layer))) for part, layer in kept]
    return [noise for noise in found if noise.ratio < math.inf]
