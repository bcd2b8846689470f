"""How a layer is folded on its lanes. Nothing here can change a bit of the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .errors import DeltaloomError
from .gate_schedule import GateSchedule, schedule_gates
from .graph import Affine, Input
from .integer import IntegerLayer, IntegerNetwork, Skip
from .target import GENERIC, SMALL_MEMORY, Target

__all__ = ["LayerSchedule", "Schedule", "schedule"]

ENTRY_LATENCY = 7  # list address to accumulator: entry, columns, address, weight, factors, product
DRAIN_LATENCY = 3  # accumulator to the gate pipeline: bank, selected unit, biased sum
SMALL_CHOICE = 8  # units that the drain selects from in one cycle
RECEIVER_LATENCY = 2  # stream to encoder, while the element's hat is read
ENCODER_LATENCY = 3  # element to listed entry: hat, difference, comparison
QUEUE_LATENCY = 2  # output queue, from its entrance to its exit
PINGPONG = 2  # lists of a kind: one is read while the next is filled


@dataclass(frozen=True)
class LayerSchedule:
    """One layer on its lanes.

    The rows of a unit are its gates; gates that read different operands (a GRU's two halves of n)
    share a row. A block is ``units`` units with all their rows; where these are more than there
    are lanes, the block walks its lists ``folds`` times.

    Parameters
    ----------
    layer : IntegerLayer
        What is computed.
    lanes : int
        Multiply-accumulate lanes.
    units, folds : int
        Units of a block, and passes over the lists for each.
    x_ahead : bool
        Whether the lanes start on the next timestep's input while its state is not complete.
    drain_banks : int
        Finished blocks that may wait for the gate pipeline, 1 or 2.
    target : Target
        What the device family offers.
    """

    layer: IntegerLayer
    lanes: int
    units: int
    folds: int
    x_ahead: bool
    drain_banks: int
    target: Target = GENERIC

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """For each row of a unit, the affine nodes that it accumulates, by operand order."""
        return rows_of(self.layer)

    @property
    def blocks(self) -> int:
        """Blocks of a timestep, or of a pixel."""
        return -(-self.layer.channels // self.units)

    @property
    def passes(self) -> int:
        """Walks over the lists in a timestep, or over a pixel's window."""
        return self.blocks * self.folds

    @property
    def columns(self) -> int:
        """Columns of the weights."""
        return sum(operand.columns for operand in self.layer.operands)

    @property
    def slots(self) -> int:
        """Passes of a timestep, each with sums of its own."""
        return self.passes * self.layer.pixels

    @property
    def dense_cycles(self) -> int:
        """Cycles of a timestep that skips nothing, list walks alone."""
        return self.passes * self.layer.dense_entries

    @property
    def keeps_sums(self) -> bool:
        """Whether accumulators are stored between passes."""
        return self.layer.skip is Skip.DELTA or self.x_ahead

    @cached_property
    def accumulator_width(self) -> int:
        """Bits of every accumulator of the layer, from the actual weights."""
        return max(self.layer.sum_width(affine) for _, affine in self.layer.graph.of(Affine))

    @cached_property
    def gates(self) -> GateSchedule:
        recurrent = [
            operand
            for operand in self.layer.operands
            if not isinstance(self.layer.graph.nodes[operand.source], Input)
        ]
        return schedule_gates(
            self.layer.graph, frozenset(o.node for o in recurrent if o.node != o.source)
        )

    @property
    def state_operand(self) -> str | None:
        """Name of the state that is a matrix-vector operand, if there is one."""
        return self.layer.operands[1].name if len(self.layer.operands) > 1 else None

    @property
    def drain_latency(self) -> int:
        """Cycles from an accumulator to the gate pipeline.

        A bias in block RAM comes a cycle later, and so does a unit that is one of many.
        """
        many = self.drain_banks * self.units > SMALL_CHOICE
        return DRAIN_LATENCY + int(self.layer.channels > SMALL_MEMORY or many)

    @cached_property
    def output_time(self) -> int:
        """Cycles from a unit's entry into the gate pipeline to its output element."""
        return self.gates.times[self.layer.graph.output]

    @cached_property
    def operand_time(self) -> int:
        """Cycles from a unit's entry into the gate pipeline to its state's next operand."""
        operand = self.layer.operands[1]
        following = self.gates.times[self.layer.graph.next_of(operand.source)]
        return following + int(operand.node != operand.source)

    @property
    def output_depth(self) -> int:
        """Elements that the output queue holds, so that only the sequencer has to wait."""
        flight = ENTRY_LATENCY + self.drain_latency + self.output_time
        return 1 << (2 * self.units + flight + 4 - 1).bit_length()

    def place(self, unit: int, row: int) -> tuple[int, int]:
        """Fold and lane that hold a row of a block's unit."""
        return divmod(unit * len(self.rows) + row, self.lanes)


def spacing(skip: Skip) -> int:
    """Cycles from an element to the next one of the same index, at the least.

    A hat is read two cycles before its element comes and written two cycles after.
    """
    return 5 if skip is Skip.DELTA else 1


def rows_of(layer: IntegerLayer) -> tuple[tuple[int, ...], ...]:
    """Group the affine nodes of a layer into rows: nodes without a common operand share one."""
    rows: list[list[int]] = []
    reads: list[set[str]] = []
    for position, affine in layer.graph.of(Affine):
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


@dataclass(frozen=True)
class Schedule:
    """The engines of a network, in order."""

    layers: tuple[LayerSchedule, ...]

    @property
    def lanes(self) -> int:
        return sum(layer.lanes for layer in self.layers)

    def of(self, name: str) -> LayerSchedule:
        return next(layer for layer in self.layers if layer.layer.name == name)


def schedule_layer(layer: IntegerLayer, lanes: int, target: Target) -> LayerSchedule:
    units, folds = fold(lanes, len(rows_of(layer)), layer.channels)
    return LayerSchedule(
        layer=layer,
        lanes=lanes,
        units=units,
        folds=folds,
        x_ahead=layer.recurrent
        and not layer.convolutional
        and (layer.skip is Skip.DELTA or target.distributed_memory),
        drain_banks=2 if units > 4 else 1,
        target=target,
    )


def steps_cycles(layer: IntegerLayer, lanes: int) -> int:
    """Cycles of a dense timestep, list walks alone."""
    units, folds = fold(lanes, len(rows_of(layer)), layer.channels)
    return -(-layer.channels // units) * folds * layer.dense_entries


def balance(network: IntegerNetwork, lanes: int) -> dict[str, int]:
    """Split lanes over layers so that the slowest layer's timestep is as short as can be.

    A layer that runs once a sequence, and not once a timestep, gets one lane, unless all do.
    """
    layers = network.computing
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
        most = len(rows_of(layer)) * layer.channels
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
    network: IntegerNetwork, lanes: int | Mapping[str, int], target: Target = GENERIC
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
    """
    names = [layer.name for layer in network.computing]
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
        tuple(schedule_layer(layer, split[layer.name], target) for layer in network.computing)
    )


def check_lanes(lanes: object) -> None:
    if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
        raise DeltaloomError(f"Lanes must be a positive integer, not {lanes!r}")
