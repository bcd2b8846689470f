"""What a run did and what it left out: columns, operations, words of the weight memory, cycles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.attention_schedule import AttentionSchedule
from ..compiler.graph import Affine
from ..compiler.integer import IntegerLayer, Operand
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import LayerSchedule, Schedule
from ..compiler.wiring import INPUT
from .layer_golden import LayerTrace

__all__ = [
    "Activity",
    "LayerActivity",
    "Share",
    "measure",
    "measure_attention",
    "measure_layer",
    "queries_of",
    "rows_of",
    "uses_of",
]


@dataclass(frozen=True)
class Share:
    """How many of so many were kept."""

    kept: int
    total: int

    def __add__(self, other: "Share") -> "Share":
        return Share(self.kept + other.kept, self.total + other.total)

    @property
    def eliminated(self) -> float:
        """The share that was left out, 0 to 1."""
        return 1 - self.kept / self.total


@dataclass(frozen=True)
class LayerActivity:
    """What one layer did.

    Parameters
    ----------
    columns : dict of str to Share
        By operand: its elements in all timesteps. What is eliminated of them is the temporal
        sparsity of the operand (Neil et al. 2017).
    operations : Share
        Multiply-accumulates.
    words : Share, optional
        Reads of the weight memory, a weight for each lane at a time; None without a schedule.
    """

    columns: dict[str, Share]
    operations: Share
    words: Share | None = None

    @property
    def together(self) -> Share:
        """The columns of all operands."""
        return sum(self.columns.values(), Share(0, 0))

    def __add__(self, other: "LayerActivity") -> "LayerActivity":
        """What the layer did in two runs."""
        known = self.words is not None and other.words is not None
        return LayerActivity(
            {name: share + other.columns[name] for name, share in self.columns.items()},
            self.operations + other.operations,
            self.words + other.words if known else None,  # type: ignore[operator]
        )


@dataclass(frozen=True)
class Activity:
    """What a network did.

    Parameters
    ----------
    layers : dict of str to LayerActivity
        By name of the layers that multiply.
    cycles : float, optional
        Clock cycles a timestep of the input, from the cycle model; None without a schedule.
    """

    layers: dict[str, LayerActivity]
    cycles: float | None = None

    @property
    def columns(self) -> dict[str, Share]:
        """By operand name, over all layers."""
        found: dict[str, Share] = {}
        for layer in self.layers.values():
            for name, share in layer.columns.items():
                found[name] = found.get(name, Share(0, 0)) + share
        return found

    @property
    def together(self) -> Share:
        """The columns of all operands of all layers."""
        return sum((layer.together for layer in self.layers.values()), Share(0, 0))

    @property
    def operations(self) -> Share:
        """Multiply-accumulates of all layers."""
        return sum((layer.operations for layer in self.layers.values()), Share(0, 0))

    @property
    def words(self) -> Share | None:
        """Reads of all weight memories; None without a schedule."""
        words = [layer.words for layer in self.layers.values()]
        if None in words:
            return None
        return sum((share for share in words if share is not None), Share(0, 0))

    def to_dict(self) -> dict[str, Any]:
        """Shares that were eliminated, and cycles a timestep, for programs and reports."""
        return {
            **_eliminated(self),
            "cycles_a_timestep": self.cycles,
            "layers": {name: _eliminated(layer) for name, layer in self.layers.items()},
        }


def _eliminated(found: Activity | LayerActivity) -> dict[str, Any]:
    return {
        "temporal_sparsity": {
            **{name: share.eliminated for name, share in found.columns.items()},
            "together": found.together.eliminated,
        },
        "operations_eliminated": found.operations.eliminated,
        "weight_accesses_eliminated": found.words.eliminated if found.words else None,
    }


def measure(
    network: IntegerNetwork,
    traces: Mapping[str, LayerTrace],
    lengths: Sequence[int],
    schedule: Schedule | None = None,
    total_cycles: int | None = None,
) -> Activity:
    """What the layers did in a run of the golden model.

    Parameters
    ----------
    network : IntegerNetwork
        What ran.
    traces : mapping of str to LayerTrace
        What happened, by layer.
    lengths : sequence of int
        Timesteps of each sequence, in the order of the port.
    schedule : Schedule, optional
        How the layers are folded, for the reads of their weight memories: each entry of a list
        is a read in each pass over it. A pass over empty lists reads no weight that is used.
    total_cycles : int, optional
        Of the run.
    """
    layers = {}
    for layer in network.multiplying:
        name = layer.name
        if isinstance(layer, IntegerAttention):
            asked = schedule.attention(name) if schedule else None
            layers[name] = measure_attention(layer, traces[name], asked)
        else:
            steps = sum(network.steps(layer, lengths))
            folded = schedule.of(name) if schedule else None
            layers[name] = measure_layer(layer, traces[name], steps, folded)
    steps = sum(network.by_input(lengths)[INPUT])
    return Activity(layers, None if total_cycles is None else total_cycles / steps)


def measure_layer(
    layer: IntegerLayer, trace: LayerTrace, steps: int, schedule: LayerSchedule | None = None
) -> LayerActivity:
    """What a layer did in so many timesteps, those of all sequences together."""
    counts = {name: fired.sum(axis=(0, 1)) for name, fired in trace.fired.items()}
    entries = {o.name: int((counts[o.name] * uses_of(o)).sum()) for o in layer.operands}
    columns, operations = {}, Share(0, 0)
    for operand in layer.operands:
        name, rows = operand.name, rows_of(layer, operand)
        columns[name] = Share(int(counts[name].sum()), steps * operand.size)
        operations += Share(rows * entries[name], rows * steps * operand.dense_entries)
    return LayerActivity(
        columns, operations, _words(schedule, entries, steps) if schedule else None
    )


def measure_attention(
    layer: IntegerAttention, trace: LayerTrace, schedule: AttentionSchedule | None = None
) -> LayerActivity:
    """The same of attention; its columns are those of queries, and the keys that each one meets."""
    asked, weighed, met = queries_of(trace)
    words = None
    if schedule:
        blocks = -(-met // schedule.lanes)
        kept = int((asked * blocks).sum() + weighed.sum() * schedule.value_blocks)
        words = Share(kept, int(blocks.sum() * layer.size + met.sum() * schedule.value_blocks))
    columns = {
        "q": Share(int(asked.sum()), len(met) * layer.size),
        "p": Share(int(weighed.sum()), int(met.sum())),
    }
    products = int((asked * met + weighed * layer.value_size).sum())
    dense = int(met.sum()) * (layer.size + layer.value_size)
    return LayerActivity(columns, Share(products, dense), words)


def queries_of(trace: LayerTrace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each query of attention, in stream order: entries, entries of its weights, keys met."""
    asked, weighed, met = (trace.fired[name].sum(axis=2) for name in ("q", "p", "k"))
    living = met > 0
    return asked[living], weighed[living], met[living]


def _words(schedule: LayerSchedule, entries: Mapping[str, int], steps: int) -> Share:
    found = Share(0, 0)
    for stage in schedule.stages:
        operands = [schedule.layer.operands[place] for place in stage.stage.operands]
        walked = sum(entries[operand.name] for operand in operands)
        dense = steps * stage.stage.dense_entries
        found += Share(stage.passes * walked, stage.passes * dense)
    return found


def rows_of(layer: IntegerLayer, operand: Operand) -> int:
    """Rows of the weights that a column of an operand has, in a window, in all gates together."""
    return sum(
        affine.rows
        for _, affine in layer.graph.of(Affine)
        for path in affine.paths
        if path.operand == operand.node
    )


def uses_of(operand: Operand) -> np.ndarray | int:
    """In how many windows each element of an operand is, int64 (size,)."""
    if operand.convolution is None:
        return 1
    elements = operand.convolution.elements(operand.channels)
    return np.bincount(elements.ravel(), minlength=operand.size + 1)[: operand.size]
