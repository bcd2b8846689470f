"""Every memory of an engine: its shape and whether it lies in block RAM."""

from dataclasses import dataclass

from ..compiler.graph import Activation
from ..compiler.integer import Skip
from ..compiler.schedule import PINGPONG, LayerSchedule
from .encoder import entry_layout, index_width
from .engine import output_layout
from .gates import bias_layout
from .lanes import sum_widths, weight_width
from .pwl import line_layout
from .ram_style import in_block_ram

__all__ = ["Storage", "layer_memories"]


@dataclass(frozen=True)
class Storage:
    """A memory with one read and one write port, or a ROM.

    Parameters
    ----------
    name : str
        What it holds.
    width, depth : int
        Bits a word, and words.
    block_ram : bool
        Whether it lies in block RAM.
    """

    name: str
    width: int
    depth: int
    block_ram: bool


def layer_memories(schedule: LayerSchedule) -> list[Storage]:
    """The memories of a layer's engine."""
    layer, nodes = schedule.layer, schedule.layer.graph.nodes
    found = []

    def add(name: str, width: int, depth: int, block_ram: bool | None = None) -> None:
        inside = in_block_ram(depth, schedule.target) if block_ram is None else block_ram
        found.append(Storage(name, width, depth, inside))

    words = schedule.passes * schedule.columns
    add("weights", weight_width(layer) * schedule.lanes, words, True)
    if schedule.keeps_sums:
        add("kept", sum(sum_widths(schedule)), schedule.passes)
    for operand in layer.operands:
        entry = entry_layout(operand, layer.skip)
        add(f"{operand.name}_list", entry.size, PINGPONG << index_width(operand.size))
        if layer.skip is Skip.DELTA:
            add(f"{operand.name}_hat", operand.format.width, operand.size)
    add("bias", bias_layout(schedule).size, layer.units, in_block_ram(layer.units))
    for position in schedule.gates.memories:
        state = nodes[position]
        assert state.format is not None
        add(f"state_{state.name}", state.format.width, layer.units)
    for position in schedule.gates.constants:
        constant = nodes[position]
        assert constant.format is not None
        block_ram = in_block_ram(layer.units)
        add(f"constant_{constant.name}", constant.format.width, layer.units, block_ram)
    for _, activation in layer.graph.of(Activation):
        table = layer.tables.get(activation.name)
        if table is not None and table.knots is None:
            segments = len(table.base)
            add(activation.name, line_layout(table).size, segments, in_block_ram(segments))
    add("queue", output_layout(layer.output_format).size, schedule.output_depth)
    return found
