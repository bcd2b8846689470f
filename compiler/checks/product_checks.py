"""The rules of matrix-vector products: paths, thresholds, weights, accumulators."""

import numpy as np

from ..graph import Affine, Constant, Input, Path, Rescale, State
from ..integer import MAX_ACCUMULATOR, MAX_ALIGNMENT, MAX_SELECTED, IntegerLayer, Skip
from .rules import NAME, check_array, check_format, require

__all__ = ["check_accumulator", "check_kept", "check_path", "check_theta"]

MAX_PARAMETER = 16


def check_path(layer: IntegerLayer, affine: Affine, path: Path) -> None:
    """A path reads the input, a state, a rounding of one, or what the timestep has computed."""
    what = f"Path {layer.name}.{affine.key(path)}"
    format = check_format(what, path.format, MAX_PARAMETER)
    encoding = path.encoding
    require(
        encoding is not None and encoding.width == format.width,
        f"{what} must have an encoding of {format.width} bits in two's complement, not {encoding}",
    )
    node = layer.graph.nodes[path.operand]
    source = layer.graph.nodes[node.operand] if isinstance(node, Rescale) else node
    require(not isinstance(source, Constant), f"{what} must not read a constant")
    check_format(f"Operand of {what}", node.format, MAX_PARAMETER)
    known = {n.name for n in layer.graph.nodes if isinstance(n, Input | State)}
    if isinstance(source, Input | State):
        require(path.name == source.name, f"{what} must be named after {source.name}")
    else:
        require(NAME.fullmatch(path.name) is not None, f"{what} must have an identifier as name")
        require(path.name not in known, f"{what} must not be named after {path.name}")
    for _, other in layer.graph.of(Affine):
        for same in other.paths:
            require(
                (same.name == path.name) == (same.operand == path.operand),
                f"{what} must read its operand in the format of {other.key(same)}",
            )


def check_theta(layer: IntegerLayer) -> None:
    widths = {operand.name: operand.format.width for operand in layer.operands}
    for name, theta in layer.theta.items():
        what = f"Threshold of {layer.name}.{name}"
        require(name in widths, f"{what} must name an operand, which are {sorted(widths)}")
        require(0 <= theta < 1 << widths[name], f"{what} must be below its range, not {theta}")
        exact = theta == 0 or layer.skip is Skip.DELTA
        require(exact, f"{what} must be 0 with skip {layer.skip.value}")


def check_kept(layer: IntegerLayer) -> None:
    """How many elements of each operand are multiplied, where that is fixed."""
    what = f"Kept elements of {layer.name}"
    if layer.skip is not Skip.TOP_K:
        require(not layer.kept, f"{what} must be left out with skip {layer.skip.value}")
        return
    require(not layer.convolutional, f"Layer {layer.name} must not skip top_k, as it convolves")
    sizes = {operand.name: operand.size for operand in layer.operands}
    require(
        set(layer.kept) == set(sizes),
        f"{what} must name its operands, which are {sorted(sizes)}, not {sorted(layer.kept)}",
    )
    for name, count in layer.kept.items():
        size = sizes[name]
        require(
            count == size or 1 <= count <= min(size, MAX_SELECTED),
            f"{what}.{name} must be {size}, which are all, or from 1 to "
            f"{min(size, MAX_SELECTED)}, not {count}",
        )


def check_accumulator(layer: IntegerLayer, affine: Affine) -> None:
    """Parameters have their shapes and formats, and no input makes the accumulator overflow."""
    what = f"Accumulator of {layer.name}.{affine.name}"
    format = check_format(what, affine.format, MAX_ACCUMULATOR)
    for path in affine.paths:
        name = f"Weights {layer.name}.{affine.key(path)}"
        weights = layer.weights[affine.key(path)]
        check_array(
            name, weights, (affine.rows, path.columns(layer.graph.nodes[path.operand].size))
        )
        assert path.encoding is not None
        require(path.encoding.holds(weights), f"{name} must be {path.encoding}")
        shift = layer.shift(affine, path)
        require(
            0 <= shift <= MAX_ALIGNMENT,
            f"{name} must be aligned by 0 to {MAX_ALIGNMENT} bits, not {shift}",
        )
    bias = layer.biases[affine.name]
    check_array(f"Bias {layer.name}.{affine.name}", bias, (affine.rows,))
    require(format.holds(bias), f"Bias {layer.name}.{affine.name} must lie within {format}")
    bound = int((layer.row_bounds(affine) + np.abs(bias).astype(object)).max())
    require(bound <= format.max, f"{what} must hold {bound}, which {format} does not")
