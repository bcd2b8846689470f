"""How one stage of a layer is folded on the lanes."""

from dataclasses import dataclass
from functools import cached_property

from .gate_schedule import gate_times
from .graph import Affine, State
from .integer import IntegerLayer
from .stages import Stage
from .target import SMALL_MEMORY, Target

__all__ = [
    "DRAIN_LATENCY",
    "ENCODER_LATENCY",
    "ENTRY_LATENCY",
    "PASS_LATENCY",
    "SMALL_CHOICE",
    "StageSchedule",
    "StageTimes",
    "fold",
    "fold_stage",
    "rows_of",
]

ENTRY_LATENCY = 7  # list address to accumulator: entry, columns, address, weight, factors, product
DRAIN_LATENCY = 3  # accumulator to the gate pipeline: bank, selected unit, biased sum
SMALL_CHOICE = 8  # units that the drain selects from in one cycle
ENCODER_LATENCY = 3  # element to listed entry: hat, difference, comparison
PASS_LATENCY = 3  # end of a stage to the first unit of the pass that follows


@dataclass(frozen=True)
class StageTimes:
    """When the values of a stage are there.

    Parameters
    ----------
    stage : Stage
        What is computed.
    target : Target
        What the device family offers.
    """

    stage: Stage
    target: Target

    @property
    def layer(self) -> IntegerLayer:
        return self.stage.layer

    @property
    def size(self) -> int:
        """Units of a timestep."""
        return self.stage.size

    @property
    def channels(self) -> int:
        """Units of a pixel."""
        return self.stage.channels

    @cached_property
    def times(self) -> dict[int, int]:
        """By node: cycles from a unit's entry into the gate pipeline to its value."""
        return gate_times(self.stage)

    @property
    def gives_output(self) -> bool:
        """Whether the layer's output is computed here."""
        return self.layer.graph.output in self.times

    @property
    def output_time(self) -> int:
        """Cycles from a unit's entry into the gate pipeline to its output element."""
        return self.times[self.layer.graph.output]

    @cached_property
    def given(self) -> int | None:
        """Place in ``layer.operands`` of what a later stage or timestep multiplies, if any."""
        graph = self.layer.graph
        for place, operand in enumerate(self.layer.operands):
            source = graph.nodes[operand.source]
            node = graph.next_of(operand.source) if isinstance(source, State) else operand.node
            if place and node in self.stage.nodes:
                return place
        return None

    @cached_property
    def stored(self) -> dict[int, int]:
        """By node whose value goes to a memory: cycles from a unit's entry to its writing."""
        graph = self.layer.graph
        states = [graph.next_of(state) for state in self.stage.states]
        exports = [crossing.source for crossing in self.stage.exports]
        return {node: self.times[node] for node in (*states, *exports)}

    @cached_property
    def settle_time(self) -> int:
        """Cycles from a unit's entry until its output is given and its memories are written."""
        graph = self.layer.graph
        given = [self.times[graph.next_of(state)] for state in self.stage.gives]
        output = [self.output_time] if self.gives_output else []
        return max([0, *given, *output, *self.stored.values()])

    @cached_property
    def operand_time(self) -> int:
        """Cycles from a unit's entry into the gate pipeline to the operand that it gives.

        Whoever multiplies that may read memories of this stage some cycles after the list is
        complete: it is not complete before they are written and read.
        """
        assert self.given is not None
        graph, operand = self.layer.graph, self.layer.operands[self.given]
        if isinstance(graph.nodes[operand.source], State):
            found = self.times[graph.next_of(operand.source)]
            found += int(operand.node != operand.source)
        else:
            found = self.times[operand.node]
        margin = ENCODER_LATENCY + 1 + ENTRY_LATENCY + DRAIN_LATENCY
        return max(found, *(time + 3 - margin for time in (*self.stored.values(), 0)))

    @property
    def end_time(self) -> int:
        """Cycles from the last unit's entry until the pass that follows may begin."""
        return max(*(self.times[scalar] for scalar in self.stage.sums), *self.stored.values(), 0)


@dataclass(frozen=True)
class StageSchedule(StageTimes):
    """A stage on the lanes of its layer.

    The rows of a unit are its gates; gates that read different operands (a GRU's two halves of n)
    share a row. A block is ``units`` units with all their rows; where these are more than there
    are lanes, the block walks its lists ``folds`` times.

    Parameters
    ----------
    stage, target
        As in :class:`StageTimes`.
    lanes : int
        Multiply-accumulate lanes of the layer.
    units, folds : int
        Units of a block, and passes over the lists for each.
    drain_banks : int
        Finished blocks that may wait for the gate pipeline, 1 or 2.
    followers : tuple of StageTimes
        Passes over vectors that follow, each as soon as the one before it is done.
    """

    lanes: int
    units: int
    folds: int
    drain_banks: int
    followers: tuple[StageTimes, ...] = ()

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """For each row of a unit, the affine nodes that it accumulates, by operand order."""
        return rows_of(self.stage)

    @property
    def blocks(self) -> int:
        """Blocks of a timestep, or of a pixel."""
        return -(-self.channels // self.units)

    @property
    def passes(self) -> int:
        """Walks over the lists in a timestep, or over a pixel's windows."""
        return self.blocks * self.folds

    @property
    def columns(self) -> int:
        """Columns of the weights."""
        return self.stage.columns

    @cached_property
    def accumulator_width(self) -> int:
        """Bits of every accumulator of the layer, from the actual weights."""
        layer = self.layer
        return max(layer.sum_width(affine) for _, affine in layer.graph.of(Affine))

    @property
    def drain_latency(self) -> int:
        """Cycles from an accumulator to the gate pipeline.

        A bias in block RAM comes a cycle later, and so does a unit that is one of many.
        """
        many = self.drain_banks * self.units > SMALL_CHOICE
        return DRAIN_LATENCY + int(self.channels > SMALL_MEMORY or many)

    @cached_property
    def lags(self) -> tuple[int, ...]:
        """For each follower, cycles from the last unit's entry here to the first unit's there."""
        found, before = [], 0
        for stage in (self, *self.followers[:-1]) if self.followers else ():
            found.append(before + stage.end_time + PASS_LATENCY)
            before = found[-1] + self.size - 1
        return tuple(found)

    @property
    def leads_to_output(self) -> bool:
        """Whether the layer's output is computed here or in a pass that follows."""
        return any(stage.gives_output for stage in (self, *self.followers))

    @property
    def output_depth(self) -> int:
        """Elements that the output queue holds, so that only the sequencer has to wait."""
        flight = ENTRY_LATENCY + self.drain_latency
        for stage, lag in zip((self, *self.followers), (0, *self.lags), strict=True):
            if stage.gives_output:
                flight += stage.output_time + (lag + self.size if lag else 0)
        return 1 << (2 * self.units + flight + 4 - 1).bit_length()

    @property
    def input_depth(self) -> int:
        """Elements of the input that are kept for the gate pipeline, at the most."""
        flight = ENTRY_LATENCY + self.drain_latency + self.times[self.layer.graph.input[0]] + 2
        kept = 2 * self.layer.input_size + self.drain_banks * self.units + flight
        return 1 << (kept - 1).bit_length()

    @cached_property
    def pause(self) -> int:
        """Cycles that no unit enters the gate pipeline after a timestep's last one.

        Where no list has to be awaited, nothing else keeps a timestep from reading its states
        before the one before it has written them; and nothing keeps a short one from writing
        what a pass over the last but one still has to read.
        """
        graph = self.layer.graph
        waits = [0]
        for stage in (self, *self.followers):
            if stage is self and self.stage.awaited is not None:
                continue
            times = stage.times
            waits += [times[graph.next_of(s)] + 3 - times[s] for s in stage.stage.states]
        entries = (0, *(lag + self.size - 1 for lag in self.lags))  # of the last unit
        for stage, lag in zip(self.followers, self.lags, strict=True):
            for crossing in stage.stage.crossings:
                if not crossing.held:
                    writer = (self, *self.followers)[crossing.writer]
                    distance = lag - entries[crossing.writer]
                    read = distance + stage.times[crossing.node]
                    waits.append(read - writer.times[crossing.source])
        return max(0, max(waits) - self.size)

    def place(self, unit: int, row: int) -> tuple[int, int]:
        """Fold and lane that hold a row of a block's unit."""
        return divmod(unit * len(self.rows) + row, self.lanes)


def rows_of(stage: Stage) -> tuple[tuple[int, ...], ...]:
    """Group the affine nodes of a stage into rows: nodes without a common operand share one."""
    layer = stage.layer
    rows: list[list[int]] = []
    reads: list[set[str]] = []
    for position in stage.affines:
        affine = layer.graph.nodes[position]
        assert isinstance(affine, Affine)
        names = {layer.operand_of(path).name for path in affine.paths}
        for row, taken in zip(rows, reads, strict=True):
            if not taken & names:
                row.append(position)
                taken |= names
                break
        else:
            rows.append([position])
            reads.append(names)
    return tuple(tuple(row) for row in rows)


def fold(lanes: int, rows: int, units: int) -> tuple[int, int]:
    """Units a block, and folds: the fewest folds whose passes are within an eighth of the fewest.

    Every fold holds the sums of all lanes until its block ends, which costs as much logic as the
    lanes themselves; a few idle lanes cost less.
    """
    found = []
    for folds in range(1, rows + 1):
        block = min(lanes * folds // rows, units)
        if block:
            blocks = -(-units // block)
            # Smaller blocks that need no more passes finish sooner.
            found.append((blocks * folds, -(-units // blocks), folds))
    fewest = min(passes for passes, _, _ in found)
    return next((block, folds) for passes, block, folds in found if 8 * passes <= 9 * fewest)


def fold_stage(
    stage: Stage, lanes: int, target: Target, followers: tuple[StageTimes, ...]
) -> StageSchedule:
    units, folds = fold(lanes, len(rows_of(stage)), stage.channels)
    return StageSchedule(
        stage=stage,
        target=target,
        lanes=lanes,
        units=units,
        folds=folds,
        drain_banks=2 if units > 4 else 1,
        followers=followers,
    )
