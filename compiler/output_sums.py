"""An output that is not rounded: the sums of the last layer's products, as integers of 32 bits.

Integer-only networks end so (Sari et al. 2021): what reads the output compares or adds its
elements, for which the unit does not matter.
"""

from collections.abc import Mapping
from dataclasses import replace

from .encodings import UNIT_MULTIPLIER
from .errors import DeltaloomError
from .fixed import Format
from .formats import LayerFormats
from .graph import Affine
from .network import Layer, Network
from .recipe_values import SUMS
from .stream_formats import group_streams
from .weights import IntegerParameters

__all__ = ["check_sums", "keep_sums"]


def keep_sums(
    network: Network, cells: Mapping[str, LayerFormats], streams: Mapping[str, Format]
) -> tuple[dict[str, LayerFormats], dict[str, Format]]:
    """The formats of cells and streams, with sums as the network's output.

    Raises
    ------
    DeltaloomError
        If the output is not that of a linear layer, or its weights have a real scale.
    """
    layer, names = _last(network)
    position = layer.graph.output
    affine, formats = layer.graph.nodes[position], cells[layer.name]
    if not isinstance(affine, Affine) or layer.graph.readers(position):
        raise DeltaloomError(
            f"Recipe output {SUMS} must be the sums of a linear layer without an activation, but "
            f"layer {layer.name} is a {layer.cell}"
            f"{'' if isinstance(affine, Affine) else f' that ends in {affine.name}'}; "
            f"other outputs have 2 to 16 bits"
        )
    weights = [formats.weights[affine.key(path)] for path in affine.paths]
    if any(weight.multiplier != UNIT_MULTIPLIER for weight in weights):
        raise DeltaloomError(
            f"Recipe output {SUMS} must go with scale 'power-of-two' of the weights of layer "
            f"{layer.name}, not with 'real', which sums are rounded for"
        )
    fracs = (
        weight.frac + formats.operands[path.name].frac
        for weight, path in zip(weights, affine.paths, strict=True)
    )
    sums = Format(SUMS, max(fracs))
    return (
        {**cells, layer.name: replace(formats, output=sums)},
        {**streams, **dict.fromkeys(names, sums)},
    )


def _last(network: Network) -> tuple[Layer, list[str]]:
    """The cell whose output the network passes on, and the streams that do."""
    name = network.layers[-1].name
    (group,) = (group for group in group_streams(network) if name in group.streams)
    cells = {layer.name: layer for layer in network.computing}
    if len(group.roots) != 1 or group.roots[0] not in cells:
        raise DeltaloomError(
            f"Recipe output {SUMS} must be the sums of one linear layer, but layer {name} puts "
            f"out what {', '.join(group.roots)} gives; other outputs have 2 to 16 bits"
        )
    return cells[group.roots[0]], group.streams


def check_sums(layer: Layer, formats: LayerFormats, parameters: IntegerParameters) -> None:
    """Raise unless sums that are put out fit in their 32 bits, whatever the input is."""
    if formats.output.width != SUMS:
        return
    (name,) = (affine.name for _, affine in layer.graph.of(Affine))
    width = parameters.accumulators[name].width
    if width > SUMS:
        raise DeltaloomError(
            f"Sums of layer {layer.name} must have at most {SUMS} bits to be put out as they are, "
            f"not {width}: use fewer bits for its weights or its input"
        )
