"""Integer networks of a search, which have all layers in common that are not told apart."""

from collections.abc import Mapping
from dataclasses import replace

from ..compiler.formats import LayerFormats
from ..compiler.integer import IntegerLayer
from ..compiler.integer_network import IntegerNetwork
from ..compiler.quantize import round_network
from ..compiler.recipe import Recipe
from .trials import Trials

__all__ = ["Frozen", "Quantized"]

Thresholds = Mapping[str, Mapping[str, int]]


class Frozen:
    """An integer network with other thresholds.

    Parameters
    ----------
    network : IntegerNetwork
        Everything but the thresholds.
    """

    def __init__(self, network: IntegerNetwork):
        self.network = network
        self._variants = _Variants()

    def with_thresholds(self, thresholds: Thresholds) -> IntegerNetwork:
        """The network with these thresholds; layers with equal ones are the same object."""
        return self._variants.of(self.network, thresholds)


class _Variants:
    """Layers with other thresholds, each made once."""

    def __init__(self) -> None:
        self._layers: dict[tuple, IntegerLayer] = {}

    def of(self, network: IntegerNetwork, thresholds: Thresholds) -> IntegerNetwork:
        return replace(
            network,
            layers=tuple(
                self._layer(layer, thresholds.get(layer.name, {}))
                if isinstance(layer, IntegerLayer)
                else layer
                for layer in network.layers
            ),
        )

    def _layer(self, layer: IntegerLayer, thresholds: Mapping[str, int]) -> IntegerLayer:
        theta = {**layer.theta, **thresholds}
        key = (id(layer), *sorted(theta.items()))
        if key not in self._layers:
            self._layers[key] = replace(layer, theta=theta)
        return self._layers[key]


class Quantized:
    """A float network, quantized with other widths and thresholds.

    Parameters
    ----------
    trials : Trials
        The network and its calibration.
    recipe : Recipe
        What the recipes of all candidates have in common.
    """

    def __init__(self, trials: Trials, recipe: Recipe):
        self._trials = trials
        self._rounded: dict[tuple, IntegerNetwork] = {}
        self._known: dict[str, list[tuple[LayerFormats, IntegerLayer]]] = {}
        self._variants = _Variants()
        self.network = self.network_of(recipe)

    def network_of(self, recipe: Recipe) -> IntegerNetwork:
        """The network of a recipe that differs in paths and thresholds alone."""
        key = tuple((name, *sorted(values.items())) for name, values in recipe.paths.items())
        if key not in self._rounded:
            self._rounded[key] = self._round(replace(recipe, theta=0))
        base = self._rounded[key]
        thresholds = {
            layer.name: {o.name: recipe.theta_of(layer.name, o.name) for o in layer.operands}
            for layer in base.computing
        }
        return self._variants.of(base, thresholds)

    def _round(self, recipe: Recipe) -> IntegerNetwork:
        plan = self._trials.plan(recipe)
        rounded = round_network(plan)
        return replace(
            rounded,
            layers=tuple(
                self._shared(layer, plan.cells[layer.name])
                if isinstance(layer, IntegerLayer)
                else layer
                for layer in rounded.layers
            ),
        )

    def _shared(self, layer: IntegerLayer, formats: LayerFormats) -> IntegerLayer:
        """The same layer of an earlier network, if its formats are the same: all else is."""
        known = self._known.setdefault(layer.name, [])
        for other, found in known:
            if other == formats:
                return found
        known.append((formats, layer))
        return layer
