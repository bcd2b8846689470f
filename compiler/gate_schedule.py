"""Times of the gate pipeline: in which cycle each element-wise value of a unit is there."""

from .graph import (
    Activation,
    Add,
    Affine,
    Inverse,
    Mul,
    Multiple,
    Reduce,
    Rescale,
    Scale,
    Sub,
)
from .stages import Stage

__all__ = [
    "ACTIVATION_LATENCY",
    "INVERSE_LATENCY",
    "MULTIPLIER_LATENCY",
    "RESCALE_LATENCY",
    "SCALAR_LATENCY",
    "gate_times",
]

ACTIVATION_LATENCY = 4  # table address to result
MULTIPLIER_LATENCY = 2  # operand and product registers
PASSING_TIME = 2  # the earliest for what is kept for a timestep: its flags choose the address
INVERSE_LATENCY = ACTIVATION_LATENCY + 5  # epsilon, leading bit, mantissa; shift, saturation
SCALAR_LATENCY = 4  # of a product of scalars: operands, partial products, two sums
REDUCE_LATENCY = 1  # the running sum
RESCALE_LATENCY = 1  # one register behind the sums, the rounding and the saturation


def gate_times(stage: Stage) -> dict[int, int]:
    """When each value of a stage is there, in cycles after a unit's accumulators enter.

    Every node is placed as soon as its operands allow. What comes from a memory - states,
    constants, the input, and what other stages computed - is read as late as its first reader
    permits, so that it needs no balancing registers. By node position; nodes that the stage's
    gate pipeline has nothing to do with are missing.
    """
    graph = stage.layer.graph
    held = [crossing.node for crossing in stage.crossings if crossing.held]
    times = dict.fromkeys((*stage.states, *stage.constants, *held, *stage.scalars), 0)
    passing = [crossing.node for crossing in stage.crossings if not crossing.held]
    times |= dict.fromkeys([*passing, *([graph.input[0]] if stage.input else [])], PASSING_TIME)
    stored = dict(times)
    for position in sorted((*stage.affines, *stage.nodes)):
        match graph.nodes[position]:
            case Affine():
                times[position] = 0
            case Rescale(operand=operand):
                times[position] = times[operand] + RESCALE_LATENCY
            case Activation(operand=operand):
                latency = ACTIVATION_LATENCY if graph.nodes[position].table else 0
                times[position] = times[operand] + latency
            case Multiple(operand=operand):
                latency = SCALAR_LATENCY if operand in graph.scalars else MULTIPLIER_LATENCY
                times[position] = times[operand] + latency
            case Reduce(operand=operand):
                times[position] = times[operand] + REDUCE_LATENCY
            case Inverse(operand=operand):
                times[position] = times[operand] + INVERSE_LATENCY
            case Mul(a=a, b=b):
                both = {a, b} <= graph.scalars
                latency = SCALAR_LATENCY if both else MULTIPLIER_LATENCY
                times[position] = max(times[a], times[b]) + latency
            case Scale(operand=operand):
                times[position] = times[operand] + MULTIPLIER_LATENCY
            case Add(a=a, b=b) | Sub(a=a, b=b):
                times[position] = max(times[a], times[b])
            case node:
                raise AssertionError(f"no place for {node}")
    for position, earliest in stored.items():
        if position in stage.scalars:
            continue  # they are there when a unit enters
        readers = [reader for reader in graph.readers(position) if reader in stage.nodes]
        entries = [max(times[operand] for operand in graph.nodes[r].operands) for r in readers]
        times[position] = min(entries, default=earliest)
    return times
