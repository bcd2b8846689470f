"""What a recipe names must be there."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from .errors import DeltaloomError
from .graph import Affine, State
from .network import Layer, Network
from .recipe import OVERRIDES, Recipe

__all__ = ["check_recipe"]


def path_names(layer: Layer) -> dict[str, list[str]]:
    """What each kind of override can name: full names by ``weights`` and ``activations``."""
    paths = [(affine, path) for _, affine in layer.graph.of(Affine) for path in affine.paths]
    weights = [f"{layer.name}.{affine.key(path)}" for affine, path in paths]
    activations = sorted({f"{layer.name}.{path.name}" for _, path in paths})
    return {"weights": weights, "scale": weights, "activations": activations}


def check_recipe(recipe: Recipe, network: Network) -> None:
    """Raise unless every name of the recipe is one of the network's."""
    layers = {layer.name: layer for layer in network.layers if isinstance(layer, Layer)}
    names: dict[str, list[str]] = {what: [] for what in OVERRIDES}
    for layer in layers.values():
        for what, found in path_names(layer).items():
            names[what] += found
    for pattern, overrides in recipe.paths.items():
        for what in overrides:
            if not any(fnmatchcase(name, pattern) for name in names[what]):
                raise DeltaloomError(
                    f"Recipe paths '{pattern}' must match {what} of the network, which are "
                    f"{', '.join(names[what])}"
                )
    kept = [
        f"{layer.name}.{state.name}"
        for layer in layers.values()
        for position, state in layer.graph.of(State)
        if not layer.graph.only_multiplied(position)
    ]
    for pattern in recipe.state_limits:
        if not any(fnmatchcase(name, pattern) for name in kept):
            raise DeltaloomError(
                f"Recipe state_limits '{pattern}' must match states of the network that are not "
                f"multiplied alone, which are {', '.join(kept) or 'none'}"
            )
    if isinstance(recipe.theta, Mapping):
        for layer_name, operands in recipe.theta.items():
            if layer_name not in layers:
                raise DeltaloomError(
                    f"Recipe theta must name layers of the network, which are "
                    f"{', '.join(layers)}, not '{layer_name}'"
                )
            for operand in operands:
                if f"{layer_name}.{operand}" not in names["activations"]:
                    known = [
                        n.removeprefix(f"{layer_name}.")
                        for n in names["activations"]
                        if n.startswith(f"{layer_name}.")
                    ]
                    raise DeltaloomError(
                        f"Recipe theta of layer {layer_name} must name its operands, which are "
                        f"{', '.join(known)}, not '{operand}'"
                    )
    for name in names["activations"]:
        layer_name, operand = name.rsplit(".", 1)
        bits = recipe.activation_bits(layer_name, operand)
        theta = recipe.theta_of(layer_name, operand)
        if theta >= 1 << bits:
            raise DeltaloomError(
                f"Recipe theta of {name} must be below {1 << bits}, the range of its {bits}-bit "
                f"activation, not {theta}: no difference would reach it"
            )
