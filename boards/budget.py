"""What a schedule takes of a board, and how many lanes a board holds."""

from ..compiler.encodings import Integers
from ..compiler.errors import DoesNotFitError
from ..compiler.graph import Activation, Mul, Scale
from ..compiler.integer import IntegerNetwork
from ..compiler.schedule import LayerSchedule, Schedule, most_useful_lanes, schedule
from ..compiler.target import Target
from ..hw.lane_plan import plan_lanes, products
from ..hw.storage import layer_memories
from .catalogue import Board
from .fits import Need, check_fits

__all__ = ["check_schedule", "most_lanes", "need_of", "target_of"]

_TARGETS = {
    "ecp5": Target(),
    # Eight multipliers and no memory in logic cells: the gate pipeline takes the multipliers.
    "ice40": Target(lane_multipliers=False, distributed_memory=False),
}


def target_of(board: Board) -> Target:
    """What a board's device family offers."""
    return _TARGETS[board.family]


def gate_multipliers(layer: LayerSchedule) -> int:
    """Multipliers of a gate pipeline: products, real scales, a segment's line in every table."""
    graph = layer.layer.graph
    return sum(1 for kind in (Mul, Scale) for _ in graph.of(kind)) + sum(
        activation.function != "relu" for _, activation in graph.of(Activation)
    )


def lane_multipliers(layer: LayerSchedule) -> int:
    """Multipliers of the lanes: none for weights that only shift, one for two narrow lanes."""
    plans = plan_lanes(layer)
    return sum(isinstance(plans[lanes[0]].code, Integers) for lanes in products(layer, plans))


def need_of(folded: Schedule) -> Need:
    """What a schedule takes at the least: multipliers, memories, and the lanes' own logic.

    Logic is a lower bound, so that nothing is refused that would fit; synthesis has the last word.
    """
    memories, luts, flip_flops, multipliers = [], 0, 0, 0
    for layer in folded.layers:
        memories += [
            (memory.width, memory.depth) for memory in layer_memories(layer) if memory.block_ram
        ]
        multipliers += gate_multipliers(layer)
        if layer.target.lane_multipliers:
            multipliers += lane_multipliers(layer)
        luts += 2 * layer.lanes * layer.accumulator_width
        held = sum(
            stage.drain_banks * stage.units * sum(len(row) for row in stage.rows)
            for stage in layer.stages
        )
        flip_flops += (layer.lanes + held) * layer.accumulator_width
    return Need(luts=luts, flip_flops=flip_flops, multipliers=multipliers, memories=tuple(memories))


def check_schedule(folded: Schedule, board: Board) -> None:
    """Raise DoesNotFitError, which names what limits, unless a board can hold a schedule."""
    check_fits(need_of(folded), board)


def most_lanes(network: IntegerNetwork, board: Board) -> int:
    """The most lanes with which a network fits a board.

    Where not even one lane a layer fits, that number: the check that follows says what limits.
    """
    low = len(network.computing)
    high = max(low, sum(most_useful_lanes(layer) for layer in network.computing))
    while low < high:
        middle = (low + high + 1) // 2
        try:
            check_schedule(schedule(network, middle, target_of(board)), board)
        except DoesNotFitError:
            high = middle - 1
        else:
            low = middle
    return low
