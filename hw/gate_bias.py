"""Biases of a stage: with their rounding constants, a word a unit."""

from amaranth.hdl import signed
from amaranth.lib import data

from ..compiler.fixed import half_unit, width_for

__all__ = ["bias_layout", "bias_table"]


def bias_table(schedule):
    """By affine node of a stage, in row order: what is added to its sums, int64 (channels,).

    The bias and, so that it costs nothing, the half that rounding to the next format adds.
    """
    layer, graph = schedule.layer, schedule.layer.graph
    found = {}
    for position in (position for row in schedule.rows for position in row):
        affine, target = graph.nodes[position], graph.nodes[graph.readers(position)[0]]
        shift = affine.format.frac - target.format.frac
        found[affine.name] = layer.biases[affine.name] + half_unit(shift)
    return found


def bias_layout(schedule):
    """A unit's word in the bias memory."""
    return data.StructLayout(
        {
            name: signed(width_for(int(values.min()), int(values.max())))
            for name, values in bias_table(schedule).items()
        }
    )
