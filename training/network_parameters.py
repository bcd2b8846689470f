"""The trainable parameters of a network, layer by layer."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..compiler.network import Embedding, Layer, Network
from ..compiler.quantize import Plan
from .parameters import Latent, LayerParameters, StepOf
from .tree import find, place

__all__ = ["NetworkParameters", "with_parameters"]


class NetworkParameters(nn.Module):
    """Those of cells, as :class:`LayerParameters` has them, and ``table`` of each embedding.

    Parameters
    ----------
    plan : Plan
        Where they start, and the formats of weights.
    dtype : torch.dtype
        Floating-point type of all of them.
    """

    def __init__(self, plan: Plan, dtype: torch.dtype):
        super().__init__()
        for layer in plan.network.layers:
            if isinstance(layer, Layer):
                formats = plan.cells[layer.name].weights
                place(self, layer.name, LayerParameters(layer, dtype, formats))
            elif isinstance(layer, Embedding):
                place(self, f"{layer.name}.table", Latent(layer.table, dtype))

    def of(self, layer: Layer) -> LayerParameters:
        """Those of a cell."""
        found = find(self, layer.name)
        assert isinstance(found, LayerParameters)
        return found

    def table(self, layer: Embedding) -> Tensor:
        """The table of an embedding, (entries, features)."""
        found = find(self, f"{layer.name}.table")
        assert isinstance(found, Latent)
        return found.value

    @torch.no_grad()
    def network(self, plan: Plan, step: StepOf) -> Network:
        """The float network of a plan with what the parameters are now."""

        def part(layer: Layer) -> Layer:
            return with_parameters(layer, self.of(layer)(plan.cells[layer.name], step))

        return Network(
            tuple(
                part(layer)
                if isinstance(layer, Layer)
                else replace(layer, table=self.table(layer).double().numpy())
                if isinstance(layer, Embedding)
                else layer
                for layer in plan.network.layers
            )
        )


def with_parameters(layer: Layer, values: dict[str, Tensor]) -> Layer:
    """A cell with other parameters."""
    arrays = {name: tensor.detach().double().numpy() for name, tensor in values.items()}
    found = replace(layer, parameters=arrays, steps={})
    found.check()
    return found
