"""What accumulators start from in a sequence whose layer has initial states of its own."""

import numpy as np

from ..compiler.fixed import requantize
from ..compiler.graph import State
from .lane_plan import sum_widths

__all__ = ["initial_operand", "initial_words"]


def initial_operand(layer, operand):
    """What an operand is before a sequence, as it is multiplied; int64 (size,), None if zero."""
    node = layer.graph.nodes[operand.source]
    if not isinstance(node, State) or node.name not in layer.initial:
        return None
    values = layer.initial[node.name]
    if operand.node != operand.source:
        values = requantize(values, node.format, operand.format)
    return values if values.any() else None


def initial_words(schedule):
    """For each slot of the kept sums: all lanes' sums of the products of initial states.

    Packed as the lanes have them; Python integers, one a slot.
    """
    layer = schedule.layer
    products = {p: product_of(layer, p) for stage in schedule.stages for p in stage.stage.affines}
    widths = sum_widths(schedule)
    starts = np.cumsum([0, *widths[:-1]]).tolist()
    words = []
    for pixel in range(layer.pixels):
        for stage in schedule.stages:
            for number in range(stage.passes):
                words.append(word_of(stage, number, pixel, products, starts))
    return words


def product_of(layer, position):
    """The initial states' products in an affine's accumulator, int64 (size,)."""
    affine = layer.graph.nodes[position]
    total = np.zeros(affine.size, dtype=np.int64)
    for path in affine.paths:
        values = initial_operand(layer, layer.operand_of(path))
        if values is not None:
            weights = layer.weights[affine.key(path)]
            total += path.product(values, weights.T) << layer.shift(affine, path)
    return total


def word_of(stage, number, pixel, products, starts):
    """The sums of a pass of a stage at a pixel."""
    block, fold = divmod(number, stage.folds)
    width, word = stage.accumulator_width, 0
    for unit in range(min(stage.units, stage.channels - block * stage.units)):
        for row, affines in enumerate(stage.rows):
            its_fold, lane = stage.place(unit, row)
            if its_fold != fold:
                continue
            for at, affine in enumerate(affines):
                element = pixel * stage.channels + block * stage.units + unit
                value = int(products[affine][element]) & ((1 << width) - 1)
                word |= value << (starts[lane] + at * width)
    return word
