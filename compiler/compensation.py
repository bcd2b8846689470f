"""Rounding of weights in which later columns make up for the errors of earlier ones.

Optimal brain quantization, column by column, as in GPTQ (Frantar et al. 2022).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .calibrate import Ranges
from .encodings import WeightFormat
from .formats import LayerFormats
from .graph import Affine, Node, Path
from .network import Layer, Network

__all__ = ["DAMPING", "compensate", "round_columns", "second_moments"]

DAMPING = 0.01
"""What is added to the second moment of each element of an operand: a share of their mean."""

ROWS = 1 << 12  # vectors whose products are summed at a time

Parameters = dict[str, np.ndarray]


def compensate(network: Network, ranges: Ranges, cells: Mapping[str, LayerFormats]) -> Network:
    """The network with weights that are levels already, chosen together on the calibration data.

    The paths of a gate, which share an accumulator, are rounded as one matrix, whose operands are
    those of the float network in the format in which they are multiplied. The bias comes last: it
    takes the mean error of its gate. Weights that are integers already stay as they are.

    Parameters
    ----------
    network : Network
        Float network without dead parts.
    ranges : Ranges
        Its calibration.
    cells : mapping of str to LayerFormats
        By layer: the formats of operands and weights.
    """
    found: dict[str, Parameters] = {}
    values: dict[int, np.ndarray] = {}

    def observe(layer: Layer, node: Node, rows: np.ndarray) -> None:
        values[len(values)] = rows
        if len(values) == len(layer.graph.nodes):
            found[layer.name] = _round_layer(layer, cells[layer.name], values)
            values.clear()

    ranges.replay(observe)
    return Network(
        tuple(
            replace(layer, parameters={**layer.parameters, **found[layer.name]})
            if isinstance(layer, Layer)
            else layer
            for layer in network.layers
        )
    )


def _round_layer(
    layer: Layer, formats: LayerFormats, values: Mapping[int, np.ndarray]
) -> Parameters:
    """The parameters that change, given what each node's values are."""
    found: Parameters = {}
    known: dict[tuple[Path, ...], np.ndarray] = {}
    for _, affine in layer.graph.of(Affine):
        paths = tuple(path for path in affine.paths if affine.key(path) not in layer.steps)
        if not paths:
            continue
        if paths not in known:
            known[paths] = second_moments(_operands(paths, formats, values))
        keys = [affine.key(path) for path in paths]
        matrices = [layer.parameters[key] for key in keys]
        bias = layer.parameters[affine.name]
        rounded = round_columns(
            [*matrices, bias[:, None]], [formats.weights[key] for key in keys], known[paths]
        )
        found |= dict(zip(keys, rounded, strict=False))
        found[affine.name] = rounded[-1][:, 0]
    return found


def _operands(
    paths: Sequence[Path], formats: LayerFormats, values: Mapping[int, np.ndarray]
) -> Iterator[np.ndarray]:
    """The operands of all paths next to each other and a one for the bias, some rows at a time."""
    count = len(values[paths[0].operand])
    for first in range(0, count, ROWS):
        parts = []
        for path in paths:
            format = formats.operands[path.name]
            rows = values[path.operand][first : first + ROWS]
            taken = format.dequantize(format.quantize(rows))
            if path.convolution is not None:
                taken = path.convolution.gather(taken)
            parts.append(taken.reshape(-1, taken.shape[-1]))
        yield np.concatenate([*parts, np.ones((len(parts[0]), 1))], axis=1)


def second_moments(operands: Iterator[np.ndarray]) -> np.ndarray:
    """Mean products of every two elements, (columns, columns), of vectors (rows, columns)."""
    total, count = 0.0, 0
    for rows in operands:
        total, count = total + rows.T @ rows, count + len(rows)
    return np.asarray(total / count)


def round_columns(
    matrices: Sequence[np.ndarray], formats: Sequence[WeightFormat], moments: np.ndarray
) -> list[np.ndarray]:
    """Levels of matrices whose products with parts of one vector are summed.

    The columns are rounded to the nearest level one after the other, those of the largest elements
    first. The error of each moves the columns that are not rounded yet by as much as makes the
    mean squared error of the sum the least.

    Parameters
    ----------
    matrices : sequence of numpy.ndarray
        Float (rows, columns) each.
    formats : sequence of WeightFormat
        Of the matrices in turn. Those without one come last and are not rounded.
    moments : numpy.ndarray
        Float (columns, columns) of all matrices: mean products of the vector's elements.

    Returns
    -------
    list of numpy.ndarray
        Float64, shaped as ``matrices``: what the levels stand for.
    """
    widths = [matrix.shape[1] for matrix in matrices]
    owners = np.repeat(np.arange(len(matrices)), widths)
    squares = np.diag(moments)
    damped = moments.astype(np.float64)
    for owner in range(len(formats)):
        columns = np.flatnonzero(owners == owner)
        damped[columns, columns] += DAMPING * squares[columns].mean() or 1.0
    order = np.lexsort((-squares, owners >= len(formats)))
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    factor = np.linalg.cholesky(inverse).T
    values = np.concatenate(matrices, axis=1).astype(np.float64)[:, order]
    for place, owner in enumerate(owners[order]):
        if owner >= len(formats):
            break
        format = formats[owner]
        levels = format.dequantize(format.quantize(values[:, place]))
        error = (values[:, place] - levels) / factor[place, place]
        values[:, place] = levels
        values[:, place + 1 :] -= error[:, None] * factor[place, place + 1 :]
    return np.split(values[:, np.argsort(order)], np.cumsum(widths)[:-1], axis=1)
