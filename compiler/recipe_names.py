"""What a recipe names must be there, and must have an effect."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .attention import ENERGIES, Attention, operands_of
from .errors import DeltaloomError, UnsupportedError
from .graph import Affine, State
from .network import Layer, Network
from .recipe import OVERRIDES, Recipe
from .streams import ArgMax

__all__ = ["check_recipe", "operand_names", "shadowed", "weight_names"]

KEPT = "states of the network that are not multiplied alone"
MULTIPLIED = "operands of the network's cells"


def weight_names(layer: Layer) -> dict[str, list[str]]:
    """Full names of a layer's weights, ``layer.gate.operand``, by the operand they multiply."""
    found: dict[str, list[str]] = {}
    for _, affine in layer.graph.of(Affine):
        for path in affine.paths:
            found.setdefault(path.name, []).append(f"{layer.name}.{affine.key(path)}")
    return found


def operand_names(network: Network) -> dict[str, list[str]]:
    """Weights by the full name of the operand that they multiply, ``layer.operand``."""
    return {
        f"{layer.name}.{operand}": names
        for layer in network.computing
        for operand, names in weight_names(layer).items()
    }


def check_recipe(recipe: Recipe, network: Network) -> None:
    """Raise unless every name of the recipe is one of the network's and says something of it."""
    operands = operand_names(network)
    weights = [name for names in operands.values() for name in names]
    _check_theta(recipe, network, sorted(operands))
    _check_limits("state_limits", recipe.state_limits, _kept_states(network), KEPT)
    _check_limits("operand_limits", recipe.operand_limits, sorted(operands), MULTIPLIED)
    activations = list(operands)
    for layer in network.layers:
        if isinstance(layer, Attention):
            weights += [f"{layer.name}.{ENERGIES}"] if layer.form == "additive" else []
            activations += [f"{layer.name}.{operand}" for operand in operands_of(layer)]
    names = {"weights": weights, "scale": weights, "activations": sorted(activations)}
    _check_paths(recipe.paths, names)
    _check_k(recipe, network)
    if recipe.output is not None and isinstance(network.layers[-1], ArgMax):
        raise DeltaloomError(
            f"Recipe output must be left out: the last layer, {network.layers[-1].name}, gives "
            f"an index, which has as many bits as it needs"
        )


def shadowed(patterns: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Patterns that have no effect as later ones match all they match; by them, one of those."""
    ordered = list(patterns)
    found = {}
    for place, pattern in enumerate(ordered):
        matched = [name for name in names if fnmatchcase(name, pattern)]
        later = [p for p in ordered[place + 1 :] if patterns[p] != patterns[pattern]]
        hiding = {
            name: next((p for p in reversed(later) if fnmatchcase(name, p)), None)
            for name in matched
        }
        if matched and None not in hiding.values():
            found[pattern] = str(hiding[matched[0]])
    return found


def _check_paths(
    paths: Mapping[str, Mapping[str, str]], names: Mapping[str, Sequence[str]]
) -> None:
    for pattern, overrides in paths.items():
        for what in overrides:
            if not any(fnmatchcase(name, pattern) for name in names[what]):
                raise DeltaloomError(
                    f"Recipe paths '{pattern}' must match {what} of the network, which are "
                    f"{', '.join(names[what])}"
                )
    for what in OVERRIDES:
        given = {pattern: values[what] for pattern, values in paths.items() if what in values}
        for pattern, later in shadowed(given, names[what]).items():
            raise DeltaloomError(
                f"Recipe paths '{pattern}' must come after '{later}' to have an effect on {what}: "
                f"later patterns override it in all that it matches"
            )


def _kept_states(network: Network) -> list[str]:
    """States whose format is not that of an operand."""
    return [
        f"{layer.name}.{state.name}"
        for layer in network.computing
        for position, state in layer.graph.of(State)
        if not layer.graph.only_multiplied(position)
    ]


def _check_limits(what: str, limits: Mapping[str, float], names: Sequence[str], those: str) -> None:
    """Each pattern must match some of ``names``, which are ``those``, with an effect."""
    for pattern in limits:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise DeltaloomError(
                f"Recipe {what} '{pattern}' must match {those}, which are "
                f"{', '.join(names) or 'none'}"
            )
    for pattern, later in shadowed(limits, names).items():
        raise DeltaloomError(
            f"Recipe {what} '{pattern}' must come after '{later}' to have an effect: later "
            f"patterns override it in all that it matches"
        )


def _check_theta(recipe: Recipe, network: Network, operands: Sequence[str]) -> None:
    _check_operands("theta", recipe.theta, network)
    for name in operands:
        layer, operand = name.rsplit(".", 1)
        bits = recipe.activation_bits(layer, operand)
        theta = recipe.theta_of(layer, operand)
        if theta >= 1 << bits:
            raise DeltaloomError(
                f"Recipe theta of {name} must be below {1 << bits}, the range of its {bits}-bit "
                f"activation, not {theta}: no difference would reach it"
            )


def _check_k(recipe: Recipe, network: Network) -> None:
    if recipe.k is None:
        return
    _check_operands("k", recipe.k, network)
    for layer in network.computing:
        for _, affine in layer.graph.of(Affine):
            for path in affine.paths:
                if path.convolution is not None:
                    raise UnsupportedError(
                        f"Recipe skip 'top_k' is not supported for layer {layer.name}, which "
                        f"convolves; supported are none, zero and delta"
                    )
                size = layer.graph.nodes[path.operand].size
                count = recipe.kept_of(layer.name, path.name, size)
                if count > size:
                    raise DeltaloomError(
                        f"Recipe k of {layer.name}.{path.name} must be at most {size}, its "
                        f"elements, not {count}"
                    )


def _check_operands(what: str, given: object, network: Network) -> None:
    """The names of a mapping of layer to mapping of operand to number."""
    layers = {layer.name: layer for layer in network.computing}
    for layer, numbers in given.items() if isinstance(given, Mapping) else ():
        if layer not in layers:
            raise DeltaloomError(
                f"Recipe {what} must name layers of the network, which are "
                f"{', '.join(layers)}, not '{layer}'"
            )
        known = sorted(weight_names(layers[layer]))
        for operand in numbers:
            if operand not in known:
                raise DeltaloomError(
                    f"Recipe {what} of layer {layer} must name its operands, which are "
                    f"{', '.join(known)}, not '{operand}'"
                )
