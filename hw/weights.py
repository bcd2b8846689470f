"""The weight memory: for each pass and column, a weight for every lane."""

import numpy as np
from amaranth.hdl import unsigned
from amaranth.lib import memory

from .lane_plan import plan_lanes

__all__ = ["weight_memory", "weight_words"]


def weight_words(schedule):
    """Int64 (words, lanes): what each lane multiplies, stage after stage.

    Within a stage it is at ``number * columns + column`` for its pass of that number; the columns
    of what it awaits follow the input's.
    """
    return np.concatenate([stage_words(stage) for stage in schedule.stages])


def stage_words(schedule):
    """The words of one stage."""
    layer, graph = schedule.layer, schedule.layer.graph
    places = schedule.stage.operands
    starts = np.cumsum([0, *(layer.operands[place].columns for place in places)])
    matrices = []  # by row of a unit: (units, columns)
    for row in schedule.rows:
        matrix = np.zeros((schedule.blocks * schedule.units, schedule.columns), dtype=np.int64)
        for position in row:
            affine = graph.nodes[position]
            for path in affine.paths:
                start = starts[places.index(layer.operands.index(layer.operand_of(path)))]
                weights = layer.weights[affine.key(path)]
                matrix[: len(weights), start : start + weights.shape[1]] = weights
        matrices.append(matrix.reshape(schedule.blocks, schedule.units, schedule.columns))
    words = np.zeros(
        (schedule.blocks, schedule.folds, schedule.columns, schedule.lanes), dtype=np.int64
    )
    for unit in range(schedule.units):
        for row, matrix in enumerate(matrices):
            fold, lane = schedule.place(unit, row)
            words[:, fold, :, lane] = matrix[:, unit]
    return words.reshape(-1, schedule.lanes)


def pack(words, codes):
    """Rows of integers as Python integers, each lane's in its code, the first one lowest."""
    bits = [
        (code.codes(lane)[:, None] >> np.arange(code.bits)) & 1
        for code, lane in zip(codes, words.T, strict=True)
    ]
    ones = np.concatenate(bits, axis=1).astype(np.uint8)
    packed = np.packbits(ones, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def weight_memory(schedule):
    """Memory of :func:`weight_words`, a word of all lanes at an address."""
    codes = [plan.code for plan in plan_lanes(schedule)]
    words = pack(weight_words(schedule), codes)
    return memory.Memory(
        shape=unsigned(sum(code.bits for code in codes)),
        depth=max(2, len(words)),
        init=words,
        attrs={"ram_style": "block"},
    )
