"""Matrix-vector products of a layer, backwards."""

from collections.abc import Mapping

import numpy as np

from ..compiler.integer import IntegerLayer, Operand
from ..sim.gates import GateRows

__all__ = ["Products"]

Array = np.ndarray


class Products:
    """What derivatives of a layer's sums say about operands, weights and biases.

    The derivatives of all gates lie side by side, as :class:`~deltaloom.sim.gates.GateRows` has
    them; a convolution has a row of them for each pixel.

    Parameters
    ----------
    layer : IntegerLayer
        Affines and formats.
    weights : mapping of str to numpy.ndarray
        Real values of the layer's weights, by name.
    kind : numpy dtype
        Floating-point type of all derivatives.

    Attributes
    ----------
    layer, kind
        As they were given.
    rows : GateRows
        Where the rows of each gate lie.
    """

    def __init__(self, layer: IntegerLayer, weights: Mapping[str, Array], kind: np.dtype):
        self.layer = layer
        self.kind = kind
        self.rows = GateRows(layer)
        self._matrices = {}
        for operand in layer.operands:
            span = self.rows.spans[operand.name]
            matrix = np.zeros((span.stop - span.start, operand.columns), dtype=kind)
            for key, part in self._parts(operand):
                matrix[part] = weights[key]
            self._matrices[operand.name] = matrix

    def _parts(self, operand: Operand) -> list[tuple[str, slice]]:
        """Weights by which an operand is multiplied, and their rows within its span."""
        start = self.rows.spans[operand.name].start
        return [
            (affine.key(path), slice(rows.start - start, rows.stop - start))
            for position, affine in self.rows.affines
            for rows in [self.rows.of[position]]
            for path in affine.paths
            if self.layer.operand_of(path) == operand
        ]

    def of_operand(self, operand: Operand, gates: Array) -> Array:
        """Derivative (batch, size) of an operand, from those of the gates (rows, total)."""
        found = gates[:, self.rows.spans[operand.name]] @ self._matrices[operand.name]
        if operand.convolution is None:
            return found
        windows = found.reshape(-1, operand.convolution.pixels, operand.columns)
        return operand.convolution.scatter(windows)

    def of_weights(self, used: Mapping[str, Array], gates: Array) -> dict[str, Array]:
        """Derivatives of weights and biases by name, each from one product over all timesteps.

        ``used`` has by operand the integers (time, batch, size) that were multiplied, ``gates``
        is (rows, total).
        """
        found: dict[str, Array] = {}
        for operand in self.layer.operands:
            values = used[operand.name].astype(self.kind) * self.kind.type(operand.format.scale)
            windows = operand.convolution.gather(values) if operand.convolution else values
            columns = windows.reshape(-1, operand.columns)
            products = gates[:, self.rows.spans[operand.name]].T @ columns
            found |= {key: products[part] for key, part in self._parts(operand)}
        biases = gates.sum(axis=0)
        return found | {
            affine.name: biases[self.rows.of[position]] for position, affine in self.rows.affines
        }
