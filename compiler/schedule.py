"""How a layer is folded on its lanes. Nothing here can change a bit of the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from .attention_schedule import AttentionSchedule
from .errors import DeltaloomError, UnsupportedError
from .graph import State
from .integer import IntegerLayer, Operand, Skip
from .integer_attention import IntegerAttention
from .integer_network import IntegerNetwork
from .stage_schedule import (
    DRAIN_LATENCY,
    ENCODER_LATENCY,
    ENTRY_LATENCY,
    StageSchedule,
    StageTimes,
    fold,
    fold_stage,
    rows_of,
)
from .target import GENERIC, Target

__all__ = [
    "DEFAULT_LANES",
    "DRAIN_LATENCY",
    "ENCODER_LATENCY",
    "ENTRY_LATENCY",
    "LayerSchedule",
    "Schedule",
    "most_useful_lanes",
    "pause_after",
    "schedule",
]

DEFAULT_LANES = 32
"""Lanes of a design without a board, as far as its gates have rows for them."""

RECEIVER_LATENCY = 2  # stream to encoder, while the element's hat is read
LOAD_LATENCY = 6  # last element of a state read to listed: two registers, rounding, encoder
QUEUE_LATENCY = 2  # output queue, from its entrance to its exit


@dataclass(frozen=True)
class LayerSchedule:
    """One layer on its lanes: its stages one after the other, on the same lanes and memories.

    Parameters
    ----------
    stages : tuple of StageSchedule
        How each stage that multiplies is folded; passes over vectors follow the last one.
    x_ahead : bool
        Whether the lanes start on the input while what else a stage multiplies is not complete.
    registers : bool
        Whether a host reads its states and counters, and loads its states.
    """

    stages: tuple[StageSchedule, ...]
    x_ahead: bool
    registers: bool = False

    @property
    def layer(self) -> IntegerLayer:
        return self.stages[0].layer

    @property
    def lanes(self) -> int:
        return self.stages[0].lanes

    @property
    def target(self) -> Target:
        return self.stages[0].target

    @property
    def accumulator_width(self) -> int:
        """Bits of every accumulator of the layer, from the actual weights."""
        return self.stages[0].accumulator_width

    @cached_property
    def output(self) -> StageSchedule:
        """The stage that gives the output, in a pass that follows it or by itself."""
        return next(stage for stage in self.stages if stage.leads_to_output)

    @cached_property
    def pipelines(self) -> tuple[StageTimes, ...]:
        """Every stage: each has a gate pipeline."""
        return (*self.stages, *self.stages[-1].followers)

    @property
    def folds(self) -> int:
        """Folds of all stages; they are numbered through."""
        return sum(stage.folds for stage in self.stages)

    @cached_property
    def first_fold(self) -> tuple[int, ...]:
        """For each stage, its first fold."""
        return starts_of([stage.folds for stage in self.stages])

    @property
    def passes(self) -> int:
        """Walks over lists in a timestep, or over a pixel's windows."""
        return sum(stage.passes for stage in self.stages)

    @cached_property
    def first_pass(self) -> tuple[int, ...]:
        """For each stage, its first pass; passes are numbered through all stages."""
        return starts_of([stage.passes for stage in self.stages])

    @cached_property
    def first_word(self) -> tuple[int, ...]:
        """For each stage, its first word in the weight memory."""
        return starts_of([stage.passes * stage.columns for stage in self.stages])

    @property
    def words(self) -> int:
        """Words of the weight memory: a weight for every lane each."""
        return sum(stage.passes * stage.columns for stage in self.stages)

    @property
    def columns(self) -> int:
        """The most columns that a pass walks over."""
        return max(stage.columns for stage in self.stages)

    @property
    def slots(self) -> int:
        """Passes of a timestep, each with sums of its own."""
        return self.passes * self.layer.pixels

    @property
    def dense_cycles(self) -> int:
        """Cycles of a timestep that skips nothing, list walks alone."""
        return sum(stage.passes * stage.stage.dense_entries for stage in self.stages)

    @property
    def receiver_latency(self) -> int:
        """Cycles from an input element to the encoder, for which it may have to be rounded."""
        operand = self.layer.operands[0]
        return RECEIVER_LATENCY + int(operand.node != operand.source)

    @property
    def loads(self) -> bool:
        """Whether it has states that a host loads."""
        return self.registers and bool(self.layer.graph.next_states)

    @property
    def starts_from_sums(self) -> bool:
        """Whether a sequence's sums start with the products of a state, not from zero."""
        multiplied = {operand.name for operand in self.layer.operands[1:]}
        initial = self.layer.initial.items()
        return any(values.any() for name, values in initial if name in multiplied)

    @property
    def load_cycles(self) -> int:
        """Cycles from a request to load its states until they are in place.

        They are walked through together, beside vectors whose last used values become zero.
        """
        return self.load_size + LOAD_LATENCY

    @cached_property
    def load_size(self) -> int:
        """Elements of the longest vector that is walked through when states are loaded."""
        states = [state.size for _, state in self.layer.graph.of(State)]
        return max([*states, *(operand.size for operand in self.layer.operands[1:])])

    @property
    def keeps_sums(self) -> bool:
        """Whether accumulators are stored between passes."""
        return self.layer.skip.differs or self.x_ahead


def starts_of(counts: list[int]) -> tuple[int, ...]:
    """Where each of several runs of so many things begins."""
    return tuple(accumulate(counts, initial=0))[:-1]


def pause_after(operand: Operand, skip: Skip) -> int:
    """Cycles that a layer's input waits for behind a vector.

    Where elements are selected, they are listed behind the last one, a cycle each, and the last
    hats of them are written then.
    """
    behind = spacing(skip)
    return operand.selected + behind - 1 if operand.selected else max(0, behind - operand.size)


def spacing(skip: Skip) -> int:
    """Cycles from an element to the next one of the same index, at the least.

    A hat is read two cycles before its element comes and written two cycles after.
    """
    return 5 if skip.differs else 1


@dataclass(frozen=True)
class Schedule:
    """The engines of a network, in order, and whether there is a register block."""

    network: IntegerNetwork
    layers: tuple[LayerSchedule | AttentionSchedule, ...]
    registers: bool = False

    @property
    def target(self) -> Target:
        return self.layers[0].target

    @property
    def lanes(self) -> int:
        return sum(layer.lanes for layer in self.layers)

    @property
    def engines(self) -> tuple[LayerSchedule, ...]:
        """Those of cells."""
        return tuple(layer for layer in self.layers if isinstance(layer, LayerSchedule))

    @property
    def attentions(self) -> tuple[AttentionSchedule, ...]:
        """Those of attention."""
        return tuple(layer for layer in self.layers if isinstance(layer, AttentionSchedule))

    def of(self, name: str) -> LayerSchedule:
        """That of a cell, by its name."""
        return next(layer for layer in self.engines if layer.layer.name == name)

    def attention(self, name: str) -> AttentionSchedule:
        """That of attention, by its name."""
        return next(layer for layer in self.attentions if layer.layer.name == name)

    def lanes_of(self, name: str) -> int:
        """Lanes of a layer, by its name."""
        return next(layer.lanes for layer in self.layers if layer.layer.name == name)


def schedule_layer(
    layer: IntegerLayer | IntegerAttention, lanes: int, target: Target, registers: bool
) -> LayerSchedule | AttentionSchedule:
    if isinstance(layer, IntegerAttention):
        return AttentionSchedule(layer, lanes, target)
    walks = [stage for stage in layer.stages if stage.multiplies]
    passes = tuple(StageTimes(stage, target) for stage in layer.stages[len(walks) :])
    stages = tuple(
        fold_stage(stage, lanes, target, passes if stage is walks[-1] else ()) for stage in walks
    )
    folded = LayerSchedule(
        stages=stages,
        x_ahead=any(stage.stage.awaited is not None for stage in stages)
        and not layer.convolutional
        and (layer.skip.differs or target.distributed_memory),
        registers=registers,
    )
    if folded.starts_from_sums and layer.skip is Skip.TOP_K:
        raise UnsupportedError(
            f"Layer {layer.name} starts from a state of its own and skips top_k, which is not "
            f"supported together; none, zero and delta are"
        )
    return folded


def steps_cycles(layer: IntegerLayer | IntegerAttention, lanes: int) -> int:
    """Cycles of a dense timestep, list walks alone; of attention, of its longest one."""
    if isinstance(layer, IntegerAttention):
        return AttentionSchedule(layer, lanes, GENERIC).dense_cycles
    cycles = 0
    for stage in (stage for stage in layer.stages if stage.multiplies):
        units, folds = fold(lanes, len(rows_of(stage)), stage.channels)
        cycles += -(-stage.channels // units) * folds * stage.dense_entries
    return cycles


def most_useful_lanes(layer: IntegerLayer | IntegerAttention) -> int:
    """Lanes that are enough to hold every row of the largest stage at once."""
    if isinstance(layer, IntegerAttention):
        return max(layer.max_steps, layer.value_size)
    walks = [stage for stage in layer.stages if stage.multiplies]
    return max(len(rows_of(stage)) * stage.channels for stage in walks)


def balance(network: IntegerNetwork, lanes: int) -> dict[str, int]:
    """Split lanes over layers so that the slowest layer's timestep is as short as can be.

    A layer that runs once a sequence, and not once a timestep, gets one lane, unless all do.
    """
    layers = network.multiplying
    if lanes < len(layers):
        raise DeltaloomError(
            f"Lanes must be at least one a layer, {len(layers)} in all, not {lanes}"
        )
    split = {layer.name: 1 for layer in layers}
    running = [layer for layer in layers if not network.lengths[layer.name].once] or layers
    cycles = {layer.name: steps_cycles(layer, 1) for layer in running}
    by_name = {layer.name: layer for layer in layers}
    free = lanes - len(layers)
    while free:
        slowest = max(cycles, key=lambda name: cycles[name])
        layer, now = by_name[slowest], split[slowest]
        most = most_useful_lanes(layer)
        for extra in range(1, min(free, most - now) + 1):
            faster = steps_cycles(layer, now + extra)
            if faster < cycles[slowest]:
                split[slowest], cycles[slowest] = now + extra, faster
                free -= extra
                break
        else:
            break
    return split


def schedule(
    network: IntegerNetwork,
    lanes: int | Mapping[str, int],
    target: Target = GENERIC,
    *,
    registers: bool = False,
) -> Schedule:
    """Fold every layer on its lanes.

    Parameters
    ----------
    network : IntegerNetwork
        What is computed.
    lanes : int or mapping of str to int
        Lanes of all layers together, or of each layer by name.
    target : Target
        What the device family offers.
    registers : bool
        Whether there is a register block, by which a host reads and loads states.
    """
    names = [layer.name for layer in network.multiplying]
    if isinstance(lanes, Mapping):
        unknown, missing = set(lanes) - set(names), set(names) - set(lanes)
        if unknown or missing:
            raise DeltaloomError(
                f"Lanes must name each of the layers {', '.join(names)}, "
                f"not {', '.join(map(str, lanes))}"
            )
        split = dict(lanes)
    else:
        check_lanes(lanes)
        split = balance(network, lanes)
    for count in split.values():
        check_lanes(count)
    return Schedule(
        network,
        tuple(
            schedule_layer(layer, split[layer.name], target, registers)
            for layer in network.multiplying
        ),
        registers,
    )


def check_lanes(lanes: object) -> None:
    if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
        raise DeltaloomError(f"Lanes must be a positive integer, not {lanes!r}")
