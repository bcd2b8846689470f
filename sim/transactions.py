"""Reads and writes of registers between sequences, and what they have to answer."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..compiler.address_map import WORD_BYTES, AddressMap
from ..compiler.integer_network import IntegerNetwork
from ..compiler.saturation import saturating_states
from ..compiler.schedule import LayerSchedule, Schedule
from ..compiler.states import LoadedStates
from .golden import GoldenRun

__all__ = ["Duration", "Transactions", "counters", "plan", "with_counters"]

Array = np.ndarray
WRITE_LATENCY = 1  # of what is done to its answer
READ_LATENCY = 2


@dataclass(frozen=True)
class Transactions:
    """Reads and writes on the AXI4-Lite port, one after the other.

    Each begins when ``before`` input beats are accepted, ``after`` output beats delivered and the
    one before it is answered; no further input beat is offered until it is answered.

    Parameters
    ----------
    write : bool (k,)
        Writes; the others are reads.
    address, data : int64 (k,)
        Byte address; the word, signed: what is written, or what has to be read.
    before, after : int64 (k,)
        See above; they never fall.
    """

    write: Array
    address: Array
    data: Array
    before: Array
    after: Array

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = np.bool_ if field.name == "write" else np.int64
            array: Array = np.array(getattr(self, field.name), dtype=kind)
            if array.ndim != 1 or len(array) != len(self.write):
                raise ValueError(f"Transactions must have one {field.name} each")
            array.flags.writeable = False
            object.__setattr__(self, field.name, array)

    def __len__(self) -> int:
        return len(self.write)

    def table(self) -> Array:
        """All fields, in their order, one below the other; int64 (5, k)."""
        return np.array([getattr(self, field.name) for field in fields(self)], dtype=np.int64)

    @property
    def answers(self) -> Array:
        """What each has to read; 0 of a write."""
        return np.where(self.write, 0, self.data)


class Duration:
    """How long transactions of a design take."""

    def __init__(self, network: IntegerNetwork, schedule: Schedule):
        addresses = AddressMap.of(network)
        self._states_from = addresses.region * WORD_BYTES
        self._settling = {r.address for r in addresses.registers if r.settles}
        self._loads = {
            addresses.addresses[f"{layer.layer.name}.load"]: layer.load_cycles
            for layer in schedule.layers
            if isinstance(layer, LayerSchedule) and layer.loads
        }

    def answer(self, write: bool, address: int, begun: int, settled: int) -> int:
        """Cycle of the answer to what begins in a cycle; states are there in cycle ``settled``."""
        load = self._loads.get(address, 0)
        done = begun + 1
        if load or address >= self._states_from or address in self._settling:
            done = max(done, settled)
        return done + load + (WRITE_LATENCY if write else READ_LATENCY)


def plan(
    network: IntegerNetwork,
    sequences: Sequence[Array],
    run: GoldenRun,
    states: LoadedStates | None,
    read: Array,
    *,
    timed: bool = True,
) -> Transactions:
    """Load states before the sequences that start from them; read all states after others.

    Where there is a memory, that is before and after pairs of sequences. In the end all counters
    are read; :func:`with_counters` says what they are.

    Parameters
    ----------
    network : IntegerNetwork
        What is computed.
    sequences : sequence of array
        Its inputs.
    run : GoldenRun
        What becomes of them.
    states : LoadedStates, optional
        What is loaded.
    read : bool (batch,)
        After which sequences, or pairs of them, all states are read.
    timed : bool
        Whether counters are read that depend on gaps and stalls.
    """
    addresses = AddressMap.of(network).addresses
    parts: list[Array] = []
    accepted = delivered = 0

    def add(write: bool, address: Array, data: Array) -> None:
        rows = np.zeros((5, len(data)), dtype=np.int64)
        rows[:] = np.array([write, 0, 0, accepted, delivered])[:, None]
        rows[1], rows[2] = address, data
        parts.append(rows)

    def add_state(write: bool, name: str, values: Array) -> None:
        add(write, addresses[name] + WORD_BYTES * np.arange(len(values)), values)

    together = zip(*network.by_input(sequences).values(), strict=True)
    for number, (taken, outputs) in enumerate(zip(together, run.outputs, strict=True)):
        if states is not None and states.sequences[number]:
            for layer, given in states.values.items():
                for state, values in given.items():
                    add_state(True, f"{layer}.{state}", values[number])
                add(True, np.array([addresses[f"{layer}.load"]]), np.ones(1))
        accepted += sum(sequence.size for sequence in taken)
        delivered += outputs.size
        if read[number]:
            for layer, left in run.states.items():
                for state, values in left.items():
                    add_state(False, f"{layer}.{state}", values[number])
    names = counter_names(network, timed)
    add(False, np.array([addresses[name] for name in names]), np.zeros(len(names)))
    table = np.concatenate(parts, axis=1)
    return Transactions(table[0].astype(bool), *table[1:])


def counter_names(network: IntegerNetwork, timed: bool) -> list[str]:
    """The registers that are read in the end."""
    registers = AddressMap.of(network).registers
    without = ("status",) if timed else ("status", "cycles")
    return [r.name for r in registers if not r.writable and r.name not in without]


def with_counters(
    transactions: Transactions,
    network: IntegerNetwork,
    run: GoldenRun,
    lengths: Sequence[int],
    busy: int,
    *,
    timed: bool = True,
) -> Transactions:
    """The transactions of a plan, with what its counters have to say.

    ``busy`` is how many cycles a sequence is in the accelerator.
    """
    names = counter_names(network, timed)
    found = counters(network, run, lengths, busy)
    data = transactions.data.copy()
    data[-len(names) :] = [found[name] for name in names]
    return replace(transactions, data=data)


def counters(
    network: IntegerNetwork, run: GoldenRun, lengths: Sequence[int], busy: int
) -> dict[str, int]:
    """What the counters say after sequences with these timesteps: by register."""
    found = {"cycles": busy}
    for layer in network.computing:
        found[f"{layer.name}.steps"] = sum(network.steps(layer, lengths))
        for operand in layer.operands:
            kept = int(run.traces[layer.name].fired[operand.name].sum())
            found[f"{layer.name}.kept.{operand.name}"] = kept
        saturated = run.traces[layer.name].saturated
        found[f"{layer.name}.saturated"] = sum(saturated.values())
        for state, node in saturating_states(layer.graph).items():
            found[f"{layer.name}.saturated.{state}"] = saturated[node]
    return found
