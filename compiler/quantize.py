"""From a float network to an integer one, after training."""

from dataclasses import replace
from typing import Any

from .calibrate import calibrate
from .checks import check_network
from .errors import UnsupportedError
from .formats import LayerFormats, choose_formats, fit_tables
from .graph import Activation, Affine, Constant
from .integer import IntegerLayer, IntegerNetwork, Skip
from .legalise import legalise, prune
from .network import LastStep, Layer, Network
from .pwl import PiecewiseLinear
from .recipe import Recipe, check_recipe
from .weights import quantize_weights
from .wiring import INPUT

__all__ = ["quantize"]


def quantize(network: Network, calibration: Any, recipe: Recipe | None = None) -> IntegerNetwork:
    """Post-training quantization (Rezk et al. 2022: narrow matrix-vector inputs, wide the rest).

    Parameters
    ----------
    network : Network
        Float network.
    calibration : array or sequence of arrays
        Sample data, NumPy or torch: (batch, time, features), or a list of (time, features).
    recipe : Recipe, optional
        What to do; the defaults if left out.
    """
    recipe = recipe or Recipe()
    network.check()
    check_chain(network)
    network = Network(
        tuple(pruned(layer) if isinstance(layer, Layer) else layer for layer in network.layers)
    )
    check_recipe(recipe, network)
    ranges = calibrate(network, calibration)
    formats = choose_formats(network, ranges, recipe)
    tables = fit_tables(recipe)
    integer = IntegerNetwork(
        tuple(
            quantize_layer(layer, formats[layer.name], tables, recipe)
            if isinstance(layer, Layer)
            else layer
            for layer in network.layers
            if isinstance(layer, Layer | LastStep)  # all of a chain are
        )
    )
    check_network(integer)
    return integer


def check_chain(network: Network) -> None:
    """Raise unless the network is a chain of cells and selections of the last timestep."""
    names = [INPUT, *(layer.name for layer in network.layers)]
    for before, layer in zip(names, network.layers, strict=False):
        if not isinstance(layer, Layer | LastStep):
            raise UnsupportedError(
                f"Layer {layer.name} is a {type(layer).__name__}, which has no integer form yet"
            )
        if (layer.sources or (before,)) != (before,) or (
            before == INPUT and not isinstance(layer, Layer)
        ):
            raise UnsupportedError(
                f"Layer {layer.name} must be a cell on the input or read the layer before it: "
                f"others have no integer form yet"
            )


def pruned(layer: Layer) -> Layer:
    """The layer without what its output does not depend on."""
    graph = prune(layer.graph)
    used = {node.name for node in graph.nodes if isinstance(node, Affine | Constant)}
    parameters = {
        name: values for name, values in layer.parameters.items() if name.split(".")[0] in used
    }
    return replace(layer, graph=graph, parameters=parameters)


def quantize_layer(
    layer: Layer, formats: LayerFormats, tables: dict[str, PiecewiseLinear], recipe: Recipe
) -> IntegerLayer:
    """One layer, given the formats of its streams, states and operands."""
    parameters = quantize_weights(layer, formats.operands, recipe)
    graph = legalise(layer, formats, parameters, tables)
    return IntegerLayer(
        name=layer.name,
        cell=layer.cell,
        graph=graph,
        weights=parameters.weights,
        biases=parameters.biases,
        tables={
            node.name: tables[node.function]
            for _, node in graph.of(Activation)
            if node.function in tables
        },
        skip=Skip(recipe.skip),
        constants={
            node.name: formats.elementwise[node.name].quantize(layer.parameters[node.name])
            for _, node in graph.of(Constant)
        },
        theta={
            operand: recipe.theta_of(layer.name, operand) for operand in sorted(formats.operands)
        },
    )
