"""Ranges that are trained: the step of each format is a power of two whose exponent is learned.

Jain et al. 2019 (Trained quantization thresholds): the step 2**round(p) of a rounding gets the
derivative ln 2 * (rounded - value) where it does not saturate, and ln 2 * rounded where it does.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..compiler.graph import Input, Rescale, State
from ..compiler.integer import IntegerLayer
from ..compiler.output_sums import keep_sums
from ..compiler.quantize import Plan
from ..compiler.recipe_values import SUMS
from ..compiler.stream_formats import group_streams
from ..compiler.wiring import sources_of
from .plan_formats import Place, formats_of, with_formats

__all__ = ["Ranges", "step_positions"]


class Ranges(nn.Module):
    """The learned exponents of a plan, one for each format of weights and multiplied operands.

    Places that share a format share an exponent. Formats of element-wise values, of the network's
    output, and of an input that is rounded again before it is multiplied stay.

    Parameters
    ----------
    plan : Plan
        Where they start.

    Attributes
    ----------
    log2_steps : torch.nn.Parameter
        Float32, (formats,).
    """

    def __init__(self, plan: Plan):
        super().__init__()
        groups = _shared_places(plan)
        self._index = {place: index for index, group in enumerate(groups) for place in group}
        self.log2_steps = nn.Parameter(torch.zeros(len(groups)))
        self.restart(plan)

    @torch.no_grad()
    def restart(self, plan: Plan) -> None:
        """Start again from the formats of another plan of the same layers."""
        formats = formats_of(plan)
        for place, index in self._index.items():
            self.log2_steps[index] = -float(formats[place].frac)

    def plan(self, plan: Plan) -> Plan:
        """The plan with the steps that were learned."""
        fracs = (-torch.round(self.log2_steps.detach())).long().tolist()
        formats = formats_of(plan)
        for place, index in self._index.items():
            formats[place] = replace(formats[place], frac=fracs[index])
        found = with_formats(plan, formats)
        if plan.recipe.output != SUMS:
            return found
        cells, streams = keep_sums(plan.network, found.cells, found.streams)
        return replace(found, cells=cells, streams=streams)

    def step(self, place: Place) -> Tensor | None:
        """The exponent of a format's step, if it is learned."""
        index = self._index.get(place)
        return None if index is None else self.log2_steps[index]


def _shared_places(plan: Plan) -> list[list[Place]]:
    network = plan.network
    found: list[list[Place]] = []
    sources = {layer.name: sources_of(network.layers)[layer.name][0] for layer in network.computing}
    multiplied = set()
    for layer in network.computing:
        formats = plan.cells[layer.name]
        found += [[(layer.name, "weights", key)] for key in formats.weights]
        states = {state.name: position for position, state in layer.graph.of(State)}
        for name, format in formats.operands.items():
            if name == layer.graph.input[1].name:
                if format == formats.input:
                    multiplied.add(sources[layer.name])
                continue
            group = [(layer.name, "operands", name)]
            if name in states and layer.graph.only_multiplied(states[name]):
                group.append((layer.name, "states", name))
            found.append(group)
    for streams in (group.streams for group in group_streams(network)):
        if network.layers[-1].name in streams or not multiplied.intersection(streams):
            continue
        group = [(name, "stream", "") for name in streams]
        for layer in network.computing:
            if layer.name in streams:
                group.append((layer.name, "output", ""))
            if sources[layer.name] in streams:
                group.append((layer.name, "input", ""))
                formats, name = plan.cells[layer.name], layer.graph.input[1].name
                if formats.operands.get(name) == formats.input:
                    group.append((layer.name, "operands", name))
        found.append(group)
    return found


def step_positions(layer: IntegerLayer) -> dict[int, list[Place]]:
    """The rescale nodes that round to formats which may be learned, by position."""
    graph = layer.graph
    found: dict[int, list[Place]] = {}

    def note(position: int, place: Place) -> None:
        if isinstance(graph.nodes[position], Rescale):
            found.setdefault(position, []).append(place)

    note(graph.output, (layer.name, "output", ""))
    for operand in layer.operands:
        place = (layer.name, "operands", operand.name)
        match graph.nodes[operand.source]:
            case Input():
                pass
            case State() if operand.node == operand.source:
                note(graph.next_of(operand.source), place)
            case _:
                note(operand.node, place)
    return found
