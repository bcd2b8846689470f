"""Every memory of an engine: its shape and whether it lies in block RAM."""

from dataclasses import dataclass

from ..compiler.attention_schedule import AttentionSchedule
from ..compiler.conv_schedule import Spans, spans_ahead
from ..compiler.graph import State
from ..compiler.schedule import LayerSchedule
from ..compiler.stage_schedule import StageSchedule, StageTimes
from ..compiler.stages import PINGPONG
from .conv_encoder import ends_depth, ends_width
from .conv_spans import span_layout, table_layouts
from .encoder import entry_layout, index_width
from .gate_bias import bias_layout
from .initial_sums import initial_operand
from .lane_plan import sum_widths, weight_widths
from .pwl import line_layout
from .query_list import query_operand
from .ram_style import in_block_ram
from .softmax import weight_operand
from .stream_layout import marked_layout

__all__ = ["Storage", "attention_memories", "layer_memories"]


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
    layer, target = schedule.layer, schedule.target
    found = []

    def add(name: str, width: int, depth: int, block_ram: bool | None = None) -> None:
        inside = in_block_ram(depth, target) if block_ram is None else block_ram
        found.append(Storage(name, width, depth, inside))

    add("weights", sum(weight_widths(schedule)), schedule.words, True)
    if schedule.keeps_sums:
        add("kept", sum(sum_widths(schedule)), schedule.slots)
    for operand in layer.operands:
        entry = entry_layout(operand, layer.skip)
        add(f"{operand.name}_list", entry.size, PINGPONG << index_width(operand.size))
        if layer.skip.differs:
            add(f"{operand.name}_hat", operand.format.width, operand.size)
            if initial_operand(layer, operand) is not None:
                name, width, depth = f"{operand.name}_initial", operand.format.width, operand.size
                add(name, width, depth, in_block_ram(depth))
    if schedule.loads:
        for _, state in layer.graph.of(State):
            assert state.format is not None
            add(f"{state.name}_store", state.format.width, state.size)
    if schedule.starts_from_sums:
        add("initial_sums", sum(sum_widths(schedule)), schedule.slots, in_block_ram(schedule.slots))
    if layer.convolutional:
        found += window_memories(schedule)
    for stage in schedule.pipelines:
        found += stage_memories(stage)
    for name, table in layer.tables.items():
        if table.knots is None:
            segments = len(table.base)
            add(name, line_layout(table).size, segments, in_block_ram(segments))
    add("queue", marked_layout(layer.output_format).size, schedule.output.output_depth)
    return found


def attention_memories(schedule: AttentionSchedule) -> list[Storage]:
    """The memories of attention."""
    layer, target = schedule.layer, schedule.target
    (query, query_skip), (weight, weight_skip) = query_operand(layer), weight_operand(layer)
    words = {
        "memory": (schedule.lanes * schedule.element_width, schedule.words),
        "scores": (layer.score.width, layer.max_steps),
        "queue": (layer.format.width + 2, schedule.output_depth),
    }
    for operand, skip in ((query, query_skip), (weight, weight_skip)):
        depth = PINGPONG << index_width(operand.size)
        words[f"{operand.name}_list"] = (entry_layout(operand, skip).size, depth)
    found = [
        Storage(name, width, depth, in_block_ram(depth, target))
        for name, (width, depth) in words.items()
    ]
    for name, table in layer.tables.items():
        for _ in range(schedule.lanes if name == "tanh" else 1):
            if table.knots is None:
                segments = len(table.base)
                width = line_layout(table).size
                found.append(Storage(name, width, segments, in_block_ram(segments)))
    return found


def stage_memories(schedule: StageTimes) -> list[Storage]:
    """Those of a stage's gate pipeline, and of what it takes from other stages."""
    stage, target = schedule.stage, schedule.target
    number = stage.number or ""
    found = []

    def add(name: str, node: int, *, depth: int = 0, rom: bool = False) -> None:
        vector = stage.layer.graph.nodes[node]
        assert vector.format is not None
        depth = depth or vector.size
        inside = in_block_ram(depth) if rom else in_block_ram(depth, target)
        found.append(Storage(f"{name}_{vector.name}", vector.format.width, depth, inside))

    if isinstance(schedule, StageSchedule):
        width, channels = bias_layout(schedule).size, schedule.channels
        found.append(Storage(f"bias{number}", width, channels, in_block_ram(channels)))
        if stage.input:
            add("kept", stage.layer.graph.input[0], depth=schedule.input_depth)
    initial = stage.layer.initial
    for position in stage.states:
        add("state", position)
        if stage.layer.graph.nodes[position].name in initial:
            add("initial", position, rom=True)
    for position in stage.constants:
        add(f"constant{number}", position, rom=True)
    for crossing in stage.crossings:
        size = stage.layer.graph.nodes[crossing.node].size
        add(f"crossing{number}", crossing.node, depth=crossing.depth(size))
        if crossing.held and stage.layer.graph.nodes[crossing.node].name in initial:
            add(f"initial{number}", crossing.node, rom=True)
    return found


def window_memories(schedule: LayerSchedule) -> list[Storage]:
    """What an engine that walks windows has besides."""
    found = []
    for operand in schedule.layer.operands:
        depth, width = ends_depth(operand), ends_width(operand)
        inside = in_block_ram(depth, schedule.target)
        found += [
            Storage(f"{operand.name}_{ends}", width, depth, inside) for ends in ("starts", "ends")
        ]
        spans = Spans.of(operand)
        tables = (spans.rows, spans.columns)
        for name, table, layout in zip(
            ("rows", "columns"), tables, table_layouts(spans), strict=True
        ):
            words = table.shape[0] * table.shape[1]
            found.append(Storage(f"{operand.name}_{name}", layout.size, words, in_block_ram(words)))
    depth = 1 << spans_ahead(schedule.layer).bit_length()
    inside = in_block_ram(depth, schedule.target)
    return [*found, Storage("spans", span_layout(schedule).size, depth, inside)]
