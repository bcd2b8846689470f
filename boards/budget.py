"""What a schedule takes of a board, and how many lanes a board holds."""

from dataclasses import replace
from math import ceil

from ..compiler.address_map import WORD_BITS, AddressMap
from ..compiler.attention_schedule import AttentionSchedule
from ..compiler.encodings import Integers
from ..compiler.errors import DoesNotFitError
from ..compiler.graph import Activation, Mul, Scale
from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import LayerSchedule, Schedule, most_useful_lanes, schedule
from ..compiler.target import Target
from ..hw.lane_plan import ShiftCode, plan_lanes, products, reach
from ..hw.scalar_multiplier import PART
from ..hw.storage import attention_memories, layer_memories
from ..hw.stream_storage import stream_memories
from .catalogue import Board
from .fits import Need, check_fits
from .inbox import BUFFER_DEPTH, buffer_width

__all__ = ["check_schedule", "most_lanes", "need_of", "target_of", "with_bridge"]

RAM_LUTS = 6  # of 16 words of 4 bits
BRIDGES = {False: (450, 250), True: (680, 335)}  # tables and flip-flops; True with registers
SHARE = 0.65  # of a board's logic is planned with: control and routing logic is not estimated

_TARGETS = {
    "ecp5": Target(),
    # Eight multipliers and no memory in logic cells: the gate pipeline takes the multipliers.
    "ice40": Target(lane_multipliers=False, distributed_memory=False),
}


def target_of(board: Board) -> Target:
    """What a board's device family offers."""
    return _TARGETS[board.family]


def gate_multipliers(layer: LayerSchedule) -> int:
    """Multipliers of a gate pipeline: products, real scales, lines of tables that need one."""
    graph, tables = layer.layer.graph, layer.layer.tables
    return sum(1 for kind in (Mul, Scale) for _ in graph.of(kind)) + sum(
        activation.name in tables and not tables[activation.name].shifts
        for _, activation in graph.of(Activation)
    )


def lane_multipliers(layer: LayerSchedule) -> int:
    """Multipliers of the lanes: none for weights that only shift, one for two narrow lanes."""
    plans = plan_lanes(layer)
    return sum(isinstance(plans[lanes[0]].code, Integers) for lanes in products(layer, plans))


def attention_multipliers(layer: AttentionSchedule) -> int:
    """Multipliers of the lanes and of their tables, and those of the softmax."""
    attention = layer.layer
    parts = [
        -(-width // PART) for width in (attention.weighted.width, attention.inverse.target.width)
    ]
    softmax = 3 + parts[0] * parts[1]  # scale, two lines of tables, the normalisation
    lanes = layer.lanes if layer.target.lane_multipliers else 0
    return softmax + lanes + (layer.lanes if attention.form == "additive" else 0)


def lane_logic(layer: LayerSchedule) -> tuple[int, int]:
    """Tables and flip-flops of accumulators, and of products that only shift."""
    luts = 2 * layer.lanes * layer.accumulator_width
    flip_flops = layer.lanes * layer.accumulator_width
    for plan in plan_lanes(layer):
        if isinstance(plan.code, ShiftCode):
            width = reach(layer, plan.shifts).bit_length() + 1
            steps = [1 << place for place in range(plan.code.exponent_bits)]
            # The sign and the last step of a shift share a table.
            luts += sum(width + sum(steps[:n]) for n in range(1, len(steps) + 1)) or width
            flip_flops += plan.code.bits + width + sum(steps) + 1
    return luts, flip_flops


def drain_logic(layer: LayerSchedule) -> tuple[int, int]:
    """Tables and flip-flops of the sums that wait for the gate pipeline, and of their choice."""
    luts = flip_flops = 0
    for stage in layer.stages:
        sums = sum(len(row) for row in stage.rows) * layer.accumulator_width
        luts += sums * stage.drain_banks * stage.units // 2  # four words take two tables a bit
        flip_flops += sums * stage.drain_banks * stage.units
    return luts, flip_flops


def kept_logic(layer: LayerSchedule) -> tuple[int, int]:
    """Tables and flip-flops of the memory of kept sums, where it is made of logic."""
    luts = flip_flops = 0
    for memory in layer_memories(layer):
        if memory.name == "kept" and not memory.block_ram:
            luts += RAM_LUTS * ceil(memory.width / 4) * ceil(memory.depth / 16)
            flip_flops += memory.width
    return luts, flip_flops


def register_logic(folded: Schedule) -> tuple[int, int]:
    """Tables and flip-flops of the register block's counters, and of the word that is read."""
    if not folded.registers:
        return 0, 0
    registers = AddressMap.of(folded.network).registers
    counters = sum(not register.writable for register in registers) - 1  # but for the status
    # A table adds a bit of a counter; one chooses between two bits, twice at the most.
    return WORD_BITS * counters + WORD_BITS * counters // 2, WORD_BITS * (counters + 1)


def need_of(folded: Schedule) -> Need:
    """What a schedule takes at the least: multipliers, memories, and the lanes' own logic.

    Logic is a lower bound, so that nothing is refused that would fit; synthesis has the last word.
    """
    between = stream_memories(folded.network, folded.target)
    memories = [(memory.width, memory.depth) for memory in between if memory.block_ram]
    multipliers = 0
    luts, flip_flops = register_logic(folded)
    for attention in folded.attentions:
        memories += [
            (memory.width, memory.depth)
            for memory in attention_memories(attention)
            if memory.block_ram
        ]
        multipliers += attention_multipliers(attention)
        luts += 3 * attention.lanes * attention.accumulator_width
        flip_flops += 2 * attention.lanes * attention.accumulator_width
    for layer in folded.engines:
        memories += [
            (memory.width, memory.depth) for memory in layer_memories(layer) if memory.block_ram
        ]
        multipliers += gate_multipliers(layer)
        if layer.target.lane_multipliers:
            multipliers += lane_multipliers(layer)
        for part_luts, part_flip_flops in (
            lane_logic(layer),
            drain_logic(layer),
            kept_logic(layer),
        ):
            luts += part_luts
            flip_flops += part_flip_flops
    return Need(luts=luts, flip_flops=flip_flops, multipliers=multipliers, memories=tuple(memories))


def check_schedule(folded: Schedule, board: Board) -> None:
    """Raise DoesNotFitError, which names what limits, unless a board can hold a schedule.

    The bridge to the board's serial line is counted as well.
    """
    try:
        check_fits(with_bridge(need_of(folded), folded.registers), board)
    except DoesNotFitError as error:
        if not folded.registers:
            raise
        check_without_registers(folded, board)
        raise DoesNotFitError(f"{error}, or no registers") from None


def check_without_registers(folded: Schedule, board: Board) -> None:
    """Raise DoesNotFitError if a board cannot even hold a schedule that has no registers."""
    plain = [
        replace(layer, registers=False) if isinstance(layer, LayerSchedule) else layer
        for layer in folded.layers
    ]
    need = need_of(replace(folded, layers=tuple(plain), registers=False))
    check_fits(with_bridge(need, False), board)


def with_bridge(need: Need, registers: bool) -> Need:
    """What an accelerator and its bridge take together, at the least."""
    luts, flip_flops = BRIDGES[registers]
    buffer = (buffer_width(registers), BUFFER_DEPTH)
    return replace(
        need,
        luts=need.luts + luts,
        flip_flops=need.flip_flops + flip_flops,
        memories=(*need.memories, buffer),
    )


def most_lanes(network: IntegerNetwork, board: Board, *, registers: bool = False) -> int:
    """The most lanes with which a network fits a board, with logic left for what is not estimated.

    Where not even one lane a layer fits, that number: the check that follows says what limits.
    """
    low = len(network.multiplying)
    high = max(low, sum(most_useful_lanes(layer) for layer in network.multiplying))
    while low < high:
        middle = (low + high + 1) // 2
        try:
            folded = schedule(network, middle, target_of(board), registers=registers)
            need = need_of(folded)
            luts, flip_flops = ceil(need.luts / SHARE), ceil(need.flip_flops / SHARE)
            whole = with_bridge(need, registers)  # what is left holds its logic
            check_fits(replace(whole, luts=luts, flip_flops=flip_flops), board)
        except DoesNotFitError:
            high = middle - 1
        else:
            low = middle
    return low
