"""The rules that every integer network keeps, whoever made it."""

from ..exact import MAX_EXACT, Interval
from ..graph import Affine, Constant, State
from ..integer import IntegerLayer
from ..integer_network import IntegerNetwork
from ..wiring import check_wiring
from .attention_checks import check_attention
from .product_checks import check_accumulator, check_kept, check_path, check_theta
from .rules import check_array, check_format, require
from .shape_checks import MAX_SIZE, check_shape
from .stage_checks import check_stages
from .stream_checks import check_streams
from .value_checks import check_value

__all__ = ["check_layer", "check_network"]


def check_network(network: IntegerNetwork) -> None:
    """Raise ``ValueError`` unless the network keeps all rules, those of its layers included."""
    require(bool(network.multiplying), "Network must have at least one layer that computes")
    for layer in network.multiplying:
        if isinstance(layer, IntegerLayer):
            check_layer(layer)
        else:
            check_attention(layer)
    check_wiring(network.layers)
    for name, size in network.sizes.items():
        require(1 <= size <= MAX_SIZE, f"Stream {name} must have 1 to {MAX_SIZE} features")
    for name, format in network.formats.items():
        check_format(f"Stream {name}", format, MAX_EXACT)
    check_streams(network)


def check_layer(layer: IntegerLayer) -> None:
    """Raise ``ValueError`` unless the layer keeps all rules."""
    graph = layer.graph
    check_shape(layer.name, graph)
    affines = [node for _, node in graph.of(Affine)]
    for affine in affines:
        for path in affine.paths:
            check_path(layer, affine, path)
    check_stages(layer)
    check_theta(layer)
    check_kept(layer)
    check_names("weights", layer, {a.key(p) for a in affines for p in a.paths}, set(layer.weights))
    check_names("biases", layer, {a.name for a in affines}, set(layer.biases))
    constants = {node.name for _, node in graph.of(Constant)}
    check_names("constants", layer, constants, set(layer.constants))
    tabled = {node.name for node in graph.nodes if node.table is not None}
    check_names("tables", layer, tabled, set(layer.tables))
    check_initial(layer)
    for affine in affines:
        check_accumulator(layer, affine)
    intervals: list[Interval] = []
    for node in graph.nodes:
        intervals.append(check_value(layer, node, intervals))


def check_initial(layer: IntegerLayer) -> None:
    states = {state.name: state for _, state in layer.graph.of(State)}
    for name, values in layer.initial.items():
        what = f"Initial state {layer.name}.{name}"
        require(name in states, f"{what} must name a state, which are {sorted(states)}")
        check_array(what, values, (states[name].size,))
        format = states[name].format
        require(format is not None and format.holds(values), f"{what} must be within {format}")


def check_names(what: str, layer: IntegerLayer, wanted: set[str], got: set[str]) -> None:
    require(
        wanted == got, f"Layer {layer.name} must have {what} {sorted(wanted)}, not {sorted(got)}"
    )
