"""A forward pass through a network in integers: layer after layer, each a function of tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..compiler.attention import Attention
from ..compiler.integer import IntegerLayer, Skip
from ..compiler.integer_attention import IntegerAttention
from ..compiler.network import Embedding, Layer
from ..compiler.quantize import Plan, quantize_layer, quantize_stream_layer
from ..compiler.recipe import Recipe
from ..compiler.stream_inference import index_entries
from ..compiler.stream_values import check_indices
from ..compiler.streams import StreamLayer
from ..compiler.wiring import sources_of
from .attention import run_attention
from .layer import LayerOutput, run_layer
from .network_parameters import NetworkParameters
from .parameters import StepOf, with_parameters
from .ranges import step_positions
from .rounding import round_values, straight_weights
from .streams import look_up, run_stream_layer

__all__ = ["Pass", "run_network"]


@dataclass
class Pass:
    """A forward pass: streams with the lengths of their sequences, and cells, by name."""

    streams: dict[str, tuple[Tensor, np.ndarray]]
    layers: dict[str, IntegerLayer] = field(default_factory=dict)
    outputs: dict[str, LayerOutput] = field(default_factory=dict)


def run_network(
    plan: Plan,
    recipe: Recipe,
    parameters: NetworkParameters,
    given: Mapping[str, tuple[Tensor, np.ndarray]],
    dtype: torch.dtype,
    kept: Callable[[str], tuple[str, ...]],
    step: StepOf | None,
) -> Pass:
    """Run sequences through every layer.

    Parameters
    ----------
    plan : Plan
        Layers and formats.
    recipe : Recipe
        How weights are rounded.
    parameters : NetworkParameters
        What is rounded.
    given : mapping of str to tuple
        By input: values (time, batch, features), not rounded yet, and the timesteps of each
        sequence, (batch,).
    dtype : torch.dtype
        Of all streams that it holds.
    kept : callable
        By a cell's name: the states whose final values are wanted.
    step : callable, optional
        The exponents of formats' steps that are learned, if any are.

    Raises
    ------
    DeltaloomError
        For an input that is to be an index of a table and is none.
    """
    run = _Run(plan, recipe, parameters, kept, step)
    found = Pass({})
    for name, (values, lengths) in given.items():
        entries = index_entries(plan.network.layers, name)
        if entries is not None:
            living = values.detach()[torch.arange(len(values))[:, None] < torch.from_numpy(lengths)]
            check_indices(name.capitalize(), living.numpy(), entries)
        rounded = round_values(values, plan.streams[name], dtype, run.step((name, "stream", "")))
        found.streams[name] = rounded, lengths
    for layer, sources in zip(
        plan.network.layers, sources_of(plan.network.layers).values(), strict=True
    ):
        taken = [found.streams[source] for source in sources]
        if isinstance(layer, Layer):
            integer, output = run.cell(layer, *taken[0])
            found.layers[layer.name], found.outputs[layer.name] = integer, output
            found.streams[layer.name] = output.values, taken[0][1]
        elif isinstance(layer, Attention):
            found.streams[layer.name] = run.attention(layer, taken), taken[0][1]
        else:
            found.streams[layer.name] = run.stream(layer, [v for v, _ in taken], taken[0][1], dtype)
    return found


class _Run:
    def __init__(
        self,
        plan: Plan,
        recipe: Recipe,
        parameters: NetworkParameters,
        kept: Callable[[str], tuple[str, ...]],
        step: StepOf | None,
    ):
        self.plan, self.recipe, self.parameters, self.kept = plan, recipe, parameters, kept
        self.learned = step is not None
        self.step: StepOf = step or (lambda place: None)

    def cell(
        self, layer: Layer, values: Tensor, lengths: np.ndarray
    ) -> tuple[IntegerLayer, LayerOutput]:
        parameters, formats = self.parameters.of(layer), self.plan.cells[layer.name]
        latent = parameters(formats, self.step)
        integer = quantize_layer(with_parameters(layer, latent), formats, self.recipe)
        straight = parameters.straight(latent, integer, formats, self.step)
        steps = self._steps(integer) if self.learned else {}
        watched = integer.skip is Skip.DELTA
        states = self.kept(layer.name)
        return integer, run_layer(
            integer, values, straight, lengths, states, steps, operands=watched
        )

    def stream(
        self, layer: StreamLayer, values: list[Tensor], lengths: np.ndarray, dtype: torch.dtype
    ) -> tuple[Tensor, np.ndarray]:
        format, step = self.plan.streams[layer.name], self.step((layer.name, "stream", ""))
        if isinstance(layer, Embedding):
            table = round_values(self.parameters.table(layer), format, dtype, step)
            return look_up(layer, table, values[0], lengths), lengths
        return run_stream_layer(quantize_stream_layer(layer, self.plan), values, lengths, step)

    def attention(self, layer: Attention, taken: Sequence[tuple[Tensor, np.ndarray]]) -> Tensor:
        latent, energies = self.parameters.energies(layer), None
        if latent is not None:
            layer = replace(layer, energies=latent.detach().double().numpy())
        integer = quantize_stream_layer(layer, self.plan)
        assert isinstance(integer, IntegerAttention)
        values, lengths = [v for v, _ in taken], [n for _, n in taken]
        if latent is not None and integer.energy is not None and integer.energies is not None:
            rounded = torch.from_numpy(integer.energy.dequantize(integer.energies))
            energies = straight_weights(latent, rounded.to(values[0].dtype), integer.energy)
        step = self.step((layer.name, "stream", ""))
        return run_attention(integer, values, lengths, energies, step)

    def _steps(self, layer: IntegerLayer) -> dict[int, Tensor]:
        """By position of a rescale node: its step's exponent, the mean where several share it."""
        found = {}
        for position, places in step_positions(layer).items():
            learned = [step for place in places if (step := self.step(place)) is not None]
            if learned:
                found[position] = torch.stack(learned).mean()
        return found
