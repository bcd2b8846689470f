"""The rules that the convolutions of every integer layer keep."""

from ..convolution import Convolution
from ..graph import Affine, Graph, Input
from .rules import require

__all__ = ["check_convolutions"]

MAX_SIDE = 1 << 16
MAX_WINDOWS = 1 << 28


def check_convolutions(layer: str, graph: Graph) -> None:
    """Raise ``ValueError`` unless all products of the layer are convolutions, or none is.

    Those of the input give the grid that those of the states keep.
    """
    paths = [path for _, affine in graph.of(Affine) for path in affine.paths]
    found = {path.convolution for path in paths}
    if found <= {None}:
        return
    what = f"Layer {layer}"
    require(None not in found, f"{what} must have convolutions alone, or none")
    for path in paths:
        assert path.convolution is not None
        check_window(f"Path {layer}.{path.name}", path.convolution, graph.nodes[path.operand].size)
        require(
            all(p.convolution == path.convolution for p in paths if p.operand == path.operand),
            f"{what} must read {path.name} in windows of one kind",
        )
    grids = {path.convolution.outputs for path in paths if path.convolution}
    require(len(grids) == 1, f"{what} must have convolutions that give the same grid")
    (grid,) = grids
    for path in paths:
        assert path.convolution is not None
        keeps = isinstance(graph.nodes[path.operand], Input) or path.convolution.grid == grid
        require(keeps, f"Path {layer}.{path.name} must keep the grid of the state")
    require(
        any(not isinstance(graph.nodes[path.operand], Input) for path in paths),
        f"{what} must have a convolution of a state: others have no engine",
    )
    for _, affine in graph.of(Affine):
        require(
            affine.size % (grid[0] * grid[1]) == 0,
            f"Affine {layer}.{affine.name} must have as many elements for every pixel",
        )


def check_window(what: str, convolution: Convolution, size: int) -> None:
    """One convolution of an operand of so many elements."""
    sides = (*convolution.grid, *convolution.kernel, *convolution.dilation)
    zeros = (*convolution.before, *convolution.after)
    require(
        all(1 <= side <= MAX_SIDE for side in sides) and max(zeros) <= MAX_SIDE,
        f"{what} must have grids, kernels and dilations of 1 to {MAX_SIDE}",
    )
    require(min(convolution.outputs) > 0, f"{what} must have a kernel that fits its grid")
    require(size % convolution.frame == 0, f"{what} must have as many elements for every pixel")
    elements = convolution.pixels * convolution.taps * (size // convolution.frame)
    require(elements <= MAX_WINDOWS, f"{what} must have windows of {MAX_WINDOWS} elements at most")
