"""What of a network can stay wide: inputs of matrix-vector products, and their weights."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ..compiler.network import Network
from ..compiler.recipe import OVERRIDES, Recipe
from ..compiler.recipe_names import operand_names, shadowed

__all__ = ["ACTIVATIONS", "WEIGHTS", "WIDE", "Part", "narrow_parts", "widened", "with_widths"]

WIDE, WIDE_BITS = "int16", 16
ACTIVATIONS, WEIGHTS = "activations", "weights"


@dataclass(frozen=True)
class Part:
    """One of the two things that are quantized in a path.

    Parameters
    ----------
    path : str
        ``layer.operand``: an input of matrix-vector products.
    what : str
        ``activations``, its vectors; or ``weights``, the matrices of all gates that it meets.
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"

    def names(self, network: Network) -> list[str]:
        """What a recipe's overrides call it."""
        return [self.path] if self.what == ACTIVATIONS else operand_names(network)[self.path]

    def widths(self, network: Network, recipe: Recipe) -> list[str]:
        """What a recipe makes of it: a width or encoding, several where gates differ."""
        if self.what == ACTIVATIONS:
            return [f"int{recipe.activation_bits(*self.path.rsplit('.', 1))}"]
        found = []
        for name in self.names(network):
            layer, gate, operand = name.rsplit(".", 2)
            found.append(str(recipe.weight_encoding(layer, f"{gate}.{operand}")))
        return list(dict.fromkeys(found))


def narrow_parts(network: Network, recipe: Recipe) -> list[Part]:
    """What a recipe gives less than 16 bits, in the network's order."""
    parts = [Part(path, what) for path in operand_names(network) for what in (ACTIVATIONS, WEIGHTS)]
    return [part for part in parts if part.widths(network, recipe) != [WIDE]]


def widened(recipe: Recipe, network: Network, parts: Collection[Part]) -> Recipe:
    """The recipe with some parts at 16 bits; overrides that lose their effect are left out."""
    return with_widths(recipe, network, dict.fromkeys(parts, WIDE))


def with_widths(recipe: Recipe, network: Network, widths: Mapping[Part, str]) -> Recipe:
    """The recipe with other widths of some parts; overrides that lose their effect are left out."""
    paths = {pattern: dict(overrides) for pattern, overrides in recipe.paths.items()}
    for part, width in widths.items():
        for name in part.names(network):
            # Moved to the end, where nothing overrides it; nothing did before, or it had no effect.
            paths[name] = {**paths.pop(name, {}), part.what: width}
    operands = operand_names(network)
    weights = [name for names in operands.values() for name in names]
    for what in OVERRIDES:
        given = {pattern: found[what] for pattern, found in paths.items() if what in found}
        for pattern in shadowed(given, list(operands) if what == ACTIVATIONS else weights):
            del paths[pattern][what]
    return replace(recipe, paths={pattern: found for pattern, found in paths.items() if found})
