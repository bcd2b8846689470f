"""The trainable parameters of a network, layer by layer."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..compiler.network import Attention, Embedding, Layer, Network, StreamLayer
from ..compiler.quantize import Plan
from .parameters import Latent, LayerParameters, StepOf, with_parameters
from .tree import find, place

__all__ = ["NetworkParameters"]


class NetworkParameters(nn.Module):
    """Those of cells, as :class:`LayerParameters` has them; ``table`` and ``energies`` of others.

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
            elif isinstance(layer, Attention) and layer.energies is not None:
                place(self, f"{layer.name}.energies", Latent(layer.energies, dtype))

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

    def energies(self, layer: Attention) -> Tensor | None:
        """The energies of additive attention, (features,); None in other forms."""
        if layer.energies is None:
            return None
        found = find(self, f"{layer.name}.energies")
        assert isinstance(found, Latent)
        return found.value

    @torch.no_grad()
    def network(self, plan: Plan, step: StepOf) -> Network:
        """The float network of a plan with what the parameters are now."""

        def part(layer: Layer | StreamLayer) -> Layer | StreamLayer:
            match layer:
                case Layer():
                    return with_parameters(layer, self.of(layer)(plan.cells[layer.name], step))
                case Embedding():
                    return replace(layer, table=self.table(layer).double().numpy())
                case Attention():
                    energies = self.energies(layer)
                    found = None if energies is None else energies.double().numpy()
                    return replace(layer, energies=found)
            return layer

        return Network(tuple(part(layer) for layer in plan.network.layers))
