"""Sums of products of the golden model, through floating-point BLAS where that is exact."""

from typing import Any

import numpy as np

from ..compiler.fixed import half_unit
from ..compiler.graph import Affine
from ..compiler.integer import IntegerLayer, Operand
from .elementwise import Count, Values

__all__ = ["GateRows", "GateSums"]

Array = np.ndarray


class GateRows:
    """Where the rows of each gate lie when those of all gates are side by side.

    Parameters
    ----------
    layer : IntegerLayer
        Its affines are the gates.

    Attributes
    ----------
    affines : list of (int, Affine)
        Positions and nodes, in the order of their rows.
    of : dict of int to slice
        Rows of each affine, by position.
    stages : dict of int to int
        The stage of each affine, by position; the rows of a stage lie together.
    spans : dict of str to slice
        By operand: from the first to the last row of the gates that multiply it.
    total : int
        Rows of all gates.
    """

    def __init__(self, layer: IntegerLayer):
        names = {
            position: {layer.operand_of(path).name for path in affine.paths}
            for position, affine in layer.graph.of(Affine)
        }

        self.stages = {p: stage.number for stage in layer.stages for p in stage.affines}

        def place(entry: tuple[int, Affine]) -> tuple[int, ...]:
            """Sorts by stage, and gates of the same operands together as far as that goes."""
            uses = [operand.name in names[entry[0]] for operand in layer.operands]
            return (self.stages[entry[0]], not uses[0], *uses[1:])

        self.affines = sorted(layer.graph.of(Affine), key=place)
        ends = np.cumsum([affine.rows for _, affine in self.affines]).tolist()
        self.of = {
            position: slice(end - affine.rows, end)
            for (position, affine), end in zip(self.affines, ends, strict=True)
        }
        self.total: int = ends[-1]
        self.spans: dict[str, slice] = {}
        for position, rows in self.of.items():
            for name in names[position]:
                span = self.spans.get(name, rows)
                self.spans[name] = slice(min(span.start, rows.start), max(span.stop, rows.stop))


class GateSums:
    """All gates of a layer side by side, in units of the formats that they are rescaled to.

    Those of a convolution are the gates of each pixel. Weights, biases and rounding constants are
    scaled by powers of two, which floating point holds exactly, in the narrowest type that also
    holds the proven bound of every partial sum.

    Parameters
    ----------
    layer : IntegerLayer
        Weights, biases, formats.

    Attributes
    ----------
    type : numpy type
        Of the sums.
    total : int
        Rows of all gates.
    """

    def __init__(self, layer: IntegerLayer):
        self._layer = layer
        self._rows = GateRows(layer)
        self.total = self._rows.total
        self._scale_constants()
        self._stages = [self._stage(stage.number) for stage in layer.stages if stage.multiplies]
        self._matrices = {operand.name: self._matrix(operand) for operand in layer.operands}

    def _stage(self, number: int) -> tuple[slice, dict[int, slice]]:
        """Rows of a stage, and where among them are those that each rescale node rounds."""
        gates = {p: rows for p, rows in self._rows.of.items() if self._rows.stages[p] == number}
        start = min(rows.start for rows in gates.values())
        readers = {
            self._layer.graph.readers(p)[0]: slice(rows.start - start, rows.stop - start)
            for p, rows in gates.items()
        }
        return slice(start, max(rows.stop for rows in gates.values())), readers

    def _scale_constants(self) -> None:
        """Biases with their rounding constants, limits, and the type that holds every sum."""
        layer, graph = self._layer, self._layer.graph
        constant, low, high = (np.zeros(self.total) for _ in range(3))
        self._scales = {}
        bound = 0
        for position, affine in self._rows.affines:
            rows = self._rows.of[position]
            target = graph.nodes[graph.readers(position)[0]].format
            assert affine.format is not None
            assert target is not None
            shift = affine.format.frac - target.frac
            half = half_unit(shift)
            self._scales[position] = 2.0**-shift
            bias = layer.biases[affine.name]
            constant[rows] = (bias + half) * self._scales[position]
            low[rows], high[rows] = target.min, target.max
            bound = max(bound, layer.sum_bound(affine) + int(np.abs(bias).max()) + half)
        assert bound < 1 << 53, "accumulators are exact in float64"
        self.type: Any = np.float32 if bound < 1 << 24 else np.float64
        self._constant: Array = constant.astype(self.type)
        self._low: Array = low.astype(self.type)
        self._high: Array = high.astype(self.type)

    def _matrix(self, operand: Operand) -> Array:
        """Weights (columns, rows of its span), aligned with their accumulators and scaled."""
        layer, span = self._layer, self._rows.spans[operand.name]
        matrix = np.zeros((operand.columns, span.stop - span.start))
        for position, affine in self._rows.affines:
            rows = self._rows.of[position]
            for path in affine.paths:
                if layer.operand_of(path) == operand:
                    columns = slice(rows.start - span.start, rows.stop - span.start)
                    scale = 2.0 ** layer.shift(affine, path) * self._scales[position]
                    matrix[:, columns] = layer.weights[affine.key(path)].T * scale
        found: Array = matrix.astype(self.type)
        return found

    def ahead(self, used: list[tuple[Operand, Array]]) -> Array:
        """Sums (time, batch, total) of what is known for all timesteps: (time, batch, size) each.

        Biases and rounding constants are part of them. The windows of convolutions count as so
        many times the batch.
        """
        steps, batch, _ = used[0][1].shape
        batch *= self._layer.pixels
        sums = np.empty((steps, batch, self.total), dtype=self.type)
        sums[:] = self._constant
        for operand, values in used:
            flat = self._columns(operand, values)
            product = flat @ self._matrices[operand.name]
            sums[:, :, self._rows.spans[operand.name]] += product.reshape(steps, batch, -1)
        return sums

    def _columns(self, operand: Operand, values: Array) -> Array:
        """Operands (..., size) as rows of factors, (rows, columns)."""
        windows = operand.convolution.gather(values) if operand.convolution else values
        return windows.reshape(-1, operand.columns).astype(self.type)

    def add(self, sums: Array, operand: Operand, values: Array) -> None:
        """Add the products of a timestep's operand (batch, size) to its sums (batch, total)."""
        factors = self._columns(operand, values)
        sums[:, self._rows.spans[operand.name]] += factors @ self._matrices[operand.name]

    def round(self, sums: Array, stage: int, values: Values, count: Count | None) -> None:
        """Put the rescaled sums of a timestep's stage where its gates' readers find them."""
        span, gates = self._stages[stage]
        own = sums[:, span]
        np.floor(own, out=own)
        cut = np.minimum(np.maximum(own, self._low[span]), self._high[span])
        integers = cut.astype(np.int32)
        batch = len(sums) // self._layer.pixels
        for reader, rows in gates.items():
            values[reader] = integers[:, rows].reshape(batch, -1)
            if count:
                wrong = cut[:, rows] != own[:, rows]
                count(self._layer.graph.nodes[reader].name, wrong.reshape(batch, -1))
