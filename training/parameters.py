"""The trainable parameters of a layer, and what they are rounded to."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..compiler.encodings import Integers, WeightFormat
from ..compiler.formats import LayerFormats
from ..compiler.graph import Affine, Constant, State
from ..compiler.integer import IntegerLayer
from ..compiler.network import Layer
from .dense_shift import DenseShift, is_shift
from .plan_formats import AnyFormat, Place
from .rounding import straight_weights
from .tree import find, place

__all__ = ["INITIAL", "Latent", "LayerParameters", "StepOf", "with_parameters"]

INITIAL = "initial."
"""What the names of states' first values begin with."""

StepOf = Callable[[Place], Tensor | None]
"""The exponent of a format's step, if it is learned."""


class Latent(nn.Module):
    """A parameter in float, which is rounded wherever it is used."""

    def __init__(self, values: np.ndarray, dtype: torch.dtype):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(values, dtype=dtype))

    def forward(self, format: AnyFormat | None, step: Tensor | None) -> Tensor:
        """What the compiler rounds, to ``format``."""
        return self.value

    def straight(
        self, latent: Tensor, rounded: Tensor, format: AnyFormat, step: Tensor | None
    ) -> Tensor:
        """``rounded``, with the derivatives that belong to what ``forward`` gave.

        ``step`` is the exponent of the format's step, if it is learned.
        """
        return straight_weights(latent, rounded, format, step)


class LayerParameters(nn.Module):
    """A layer's parameters: ``<gate>.<operand>``, ``<gate>.bias``, constants by their name, and
    ``initial.<state>`` of states that do not start from zero.

    Parameters
    ----------
    layer : Layer
        Where they start.
    dtype : torch.dtype
        Floating-point type of all of them.
    formats : mapping of str to WeightFormat
        Of the weights, by ``gate.operand``.
    """

    def __init__(self, layer: Layer, dtype: torch.dtype, formats: Mapping[str, WeightFormat]):
        super().__init__()
        self._layer = layer.name
        gates = {affine.name for _, affine in layer.graph.of(Affine)}
        self._paths = {name: f"{name}.bias" if name in gates else name for name in layer.parameters}
        initial = {INITIAL + name: values for name, values in layer.initial.items()}
        self._paths |= {name: name for name in initial}
        for name, values in {**layer.parameters, **initial}.items():
            found = (
                DenseShift(values, dtype, formats[name])
                if is_shift(formats.get(name))
                else Latent(values, dtype)
            )
            place(self, self._paths[name], found)

    def latent(self, name: str) -> Latent | DenseShift:
        """A parameter by its name in the layer."""
        found = find(self, self._paths[name])
        assert isinstance(found, Latent | DenseShift)
        return found

    def forward(self, formats: LayerFormats, step: StepOf) -> dict[str, Tensor]:
        """What the compiler rounds, by name in the layer.

        ``step`` says which steps of formats are learned.
        """
        return {
            name: self.latent(name)(formats.weights.get(name), step(self._place(name)))
            for name in self._paths
        }

    def _place(self, name: str) -> Place:
        """Where the format of a parameter is, if it is one that can be learned."""
        if name.startswith(INITIAL):
            return self._layer, "states", name.removeprefix(INITIAL)
        return self._layer, "weights", name

    def straight(
        self,
        values: Mapping[str, Tensor],
        layer: IntegerLayer,
        formats: LayerFormats,
        step: StepOf,
    ) -> dict[str, Tensor]:
        """Real values of the layer's integers, by name.

        Their derivatives go where ``values``, which ``forward`` gave, came from, and to the
        steps of their formats that ``step`` says are learned.
        """
        found = {}
        for name, (integers, format) in _rounded(layer, formats).items():
            dtype = torch.promote_types(values[name].dtype, torch.float32)
            real = torch.from_numpy(format.dequantize(integers)).to(dtype)
            learned = step(self._place(name))
            found[name] = self.latent(name).straight(values[name], real, format, learned)
        return found


def _rounded(layer: IntegerLayer, formats: LayerFormats) -> dict[str, tuple[np.ndarray, AnyFormat]]:
    """Integers of every parameter of a layer, and their formats.

    A bias is in units of its gate's accumulator, so it has the real scale of the weights.
    """
    found: dict[str, tuple[np.ndarray, AnyFormat]] = {
        name: (values, formats.weights[name]) for name, values in layer.weights.items()
    }
    for _, affine in layer.graph.of(Affine):
        assert affine.format is not None
        multiplier = formats.weights[affine.key(affine.paths[0])].multiplier
        kind = Integers.of(affine.format.width)
        format = WeightFormat(kind, affine.format.frac, multiplier)
        found[affine.name] = layer.biases[affine.name], format
    for _, constant in layer.graph.of(Constant):
        assert constant.format is not None
        found[constant.name] = layer.constants[constant.name], constant.format
    for _, state in layer.graph.of(State):
        if state.name in layer.initial:
            assert state.format is not None
            found[INITIAL + state.name] = layer.initial[state.name], state.format
    return found


def with_parameters(layer: Layer, values: Mapping[str, Tensor]) -> Layer:
    """A cell with other parameters, by the names of :class:`LayerParameters`."""
    arrays = {name: tensor.detach().double().numpy() for name, tensor in values.items()}
    initial = {name: arrays.pop(INITIAL + name) for name in layer.initial}
    found = replace(layer, parameters=arrays, initial=initial, steps={})
    found.check()
    return found
