"""Stages of the gate pipeline: in which cycle each element-wise value of a unit is there."""

from collections.abc import Mapping
from dataclasses import dataclass

from .graph import Activation, Add, Affine, Constant, Graph, Input, Mul, Rescale, State, Sub

__all__ = ["ACTIVATION_LATENCY", "MULTIPLIER_LATENCY", "GateSchedule", "schedule_gates"]

ACTIVATION_LATENCY = 4  # table address to result
MULTIPLIER_LATENCY = 2  # operand and product registers
RESCALE_LATENCY = 1  # one register behind the sums, the rounding and the saturation


@dataclass(frozen=True)
class GateSchedule:
    """When each node's value is there, in cycles after a unit's accumulators enter.

    Parameters
    ----------
    times : mapping of int to int
        By node position. Nodes that are not part of the pipeline (the input, matrix-vector
        operands, states that only they read) are missing.
    memories : tuple of int
        States that the pipeline reads, and therefore keeps in a memory.
    constants : tuple of int
        Constants that it reads.
    """

    times: Mapping[int, int]
    memories: tuple[int, ...]
    constants: tuple[int, ...]


def schedule_gates(graph: Graph, operand_nodes: frozenset[int]) -> GateSchedule:
    """Place the element-wise part of a quantized cell graph as soon as its operands allow.

    States and constants are read from their memories as late as their first reader permits, so
    that they need no balancing registers. ``operand_nodes`` are the nodes that feed matrix-vector
    products alone.
    """
    memories = tuple(
        position
        for position, _ in graph.of(State)
        if any(
            not isinstance(graph.nodes[reader], Affine) and reader not in operand_nodes
            for reader in graph.readers(position)
        )
    )
    constants = tuple(position for position, _ in graph.of(Constant))
    times: dict[int, int] = dict.fromkeys(memories + constants, 0)
    for position, node in enumerate(graph.nodes):
        if position in operand_nodes:
            continue
        match node:
            case Input() | State() | Constant():
                continue
            case Affine():
                times[position] = 0
            case Rescale():
                times[position] = times[node.operand] + RESCALE_LATENCY
            case Activation():
                exact = node.function == "relu"
                times[position] = times[node.operand] + (0 if exact else ACTIVATION_LATENCY)
            case Mul():
                times[position] = max(times[node.a], times[node.b]) + MULTIPLIER_LATENCY
            case Add() | Sub():
                times[position] = max(times[node.a], times[node.b])
            case _:
                raise AssertionError(f"no stage for {node}")
    for position in memories + constants:
        readers = [
            reader
            for reader in graph.readers(position)
            if reader in times and not isinstance(graph.nodes[reader], Affine)
        ]
        times[position] = min(
            max(times[operand] for operand in graph.nodes[reader].operands) for reader in readers
        )
    return GateSchedule(times, memories, constants)
