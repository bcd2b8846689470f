"""A design on a board that is connected: sequences through its serial line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .boards.host import Host
from .boards.host_registers import HostRegisters
from .compiler.errors import DeltaloomError, MismatchError
from .compiler.states import LoadedStates, quantize_states
from .model import ModelRun
from .sim import golden
from .sim.transactions import counters

if TYPE_CHECKING:
    from .design import Design

__all__ = ["BoardRun", "Connection"]

COUNTS = 1 << 32  # what a counter goes up to before it starts anew


@dataclass(frozen=True)
class BoardRun(ModelRun):
    """What a board says of sequences: equal to the golden model in every bit.

    Parameters
    ----------
    outputs, integers, saturated_states
        As in :class:`~deltaloom.model.ModelRun`.
    states, integer_states
        The same; empty unless states were given.
    counters : dict of str to int
        By register: what the sequences added; ``cycles`` among them. Empty without registers.
    """

    counters: dict[str, int]


class Connection:
    """A design that runs on a board. Calling it computes as calling the model does.

    Parameters
    ----------
    design : Design
        What the board was configured with.
    port, baud, timeout
        As :class:`~deltaloom.boards.host.Host` takes them.

    Raises
    ------
    DeltaloomError
        If the board's ports are not the design's: it was configured with another one.
    """

    def __init__(self, design: Design, port: Any, *, baud: int = 115_200, timeout: float = 2.0):
        self._design = design
        self._host = host = Host(port, baud=baud, timeout=timeout)
        self._registers = HostRegisters(host, design.addresses) if design.addresses else None
        ports = design.ports
        wanted = (ports.input_bits // 8, ports.output_bits // 8, ports.address_bits)
        found = (host.input_bytes, host.output_bytes, host.address_bits)
        if found != wanted:
            raise DeltaloomError(
                f"Board must hold this design, of {wanted[0]} bytes in, {wanted[1]} out and "
                f"{wanted[2]} address bits, not one of {found[0]}, {found[1]} and {found[2]}"
            )

    def __call__(
        self, x: Any, states: Any = None, *, memory: Any = None
    ) -> np.ndarray | list[np.ndarray]:
        """Outputs as real numbers; takes and gives what the model's call does."""
        return self.run(x, states, memory=memory).outputs

    def run(self, x: Any, states: Any = None, *, memory: Any = None) -> BoardRun:
        """Run sequences one after the other, and check every bit of what comes back.

        With ``states``, they are loaded before each sequence, and all states are read after it.

        Parameters
        ----------
        x, memory
            As :class:`~deltaloom.QuantizedModel` takes them.
        states : mapping of str to mapping of str to array, optional
            The same; an empty one loads nothing and reads all. The design needs registers for it.

        Raises
        ------
        MismatchError
            If the board differs from the golden model.
        LinkError
            If the line failed.
        """
        model, registers = self._design.model, self._registers
        self._design.check_states(states)
        sequences = model.quantize_input(x, memory)
        given, cut = quantize_states(model.network, states, len(x))
        expected = golden.run(model.network, sequences, given, trace=True)
        before = registers.counters() if registers else {}
        outputs, left = [], []
        memories = len(model.network.inputs) - 1
        for number in range(len(x)):
            own = sequences[(memories + 1) * number :][: memories + 1]
            if registers and given:
                registers.load(_of_sequence(given, number))
            outputs.append(np.stack(self._host.run(own[-1], *own[:-1])))
            if registers and states is not None:
                left.append(registers.states())
        counted = {}
        if registers:
            if registers.broken():
                raise DeltaloomError(
                    "Board must keep the rules of its streams, but reports that "
                    "a sequence broke one"
                )
            counted = {
                name: (value - before[name]) % COUNTS
                for name, value in registers.counters().items()
            }
        integer_states = _stacked(left)
        lengths = [len(sequence) for sequence in sequences]
        self._check(expected, lengths, outputs, integer_states, counted)
        integers = model.shape_outputs(outputs, x)
        return BoardRun(
            outputs=model.to_float(integers),
            integers=integers,
            states=model.states_to_float(integer_states),
            integer_states=integer_states,
            saturated_states=cut,
            counters=counted,
        )

    def _check(
        self,
        expected: golden.GoldenRun,
        lengths: list[int],
        outputs: list[np.ndarray],
        states: dict[str, dict[str, np.ndarray]],
        counted: dict[str, int],
    ) -> None:
        """Raise MismatchError unless the board says what the golden model says."""
        for number, (found, wanted) in enumerate(zip(outputs, expected.outputs, strict=True)):
            if not np.array_equal(found, wanted):
                raise MismatchError(f"Board gave other outputs than its model in sequence {number}")
        for layer, own in states.items():
            for name, values in own.items():
                if not np.array_equal(values, expected.states[layer][name]):
                    raise MismatchError(f"Board left another state {layer}.{name} than its model")
        busy = counted.get("cycles", 0)
        wanted_counts = counters(self._design.model.network, expected, lengths, busy)
        for name, count in counted.items():
            if count != wanted_counts[name] % COUNTS:
                raise MismatchError(
                    f"Board counted {count} in {name}, its model {wanted_counts[name] % COUNTS}"
                )


def _of_sequence(states: LoadedStates, number: int) -> dict[str, dict[str, np.ndarray]]:
    return {
        layer: {name: values[number] for name, values in given.items()}
        for layer, given in states.values.items()
    }


def _stacked(
    left: list[dict[str, dict[str, np.ndarray]]],
) -> dict[str, dict[str, np.ndarray]]:
    """States (batch, size) of states (size,) that each sequence left."""
    if not left:
        return {}
    return {
        layer: {name: np.stack([found[layer][name] for found in left]) for name in own}
        for layer, own in left[0].items()
    }
