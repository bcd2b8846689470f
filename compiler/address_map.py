"""The address map of a design's registers: what lies where, for hardware, host and manifest alike.

Registers and states are 32-bit words at byte addresses. The space is cut into regions of equal
size, a power of two: the registers are the first one, and each state is one of its own, an element
a word, sign-extended. Counters count from reset on, and start anew after 2**32 - 1.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .errors import UnsupportedError
from .fixed import Format
from .graph import State
from .integer_network import IntegerNetwork
from .saturation import saturating_states

__all__ = ["WORD_BITS", "WORD_BYTES", "AddressMap", "Register", "StateRegion", "Status"]

WORD_BYTES = 4
WORD_BITS = 8 * WORD_BYTES
SATURATED = "saturated"


class Status:
    """Bits of the register ``status``."""

    BUSY = 1
    ERROR = 2


@dataclass(frozen=True)
class Register:
    """A word.

    Parameters
    ----------
    name : str
        ``status``, ``cycles``; ``<layer>.load``, ``<layer>.steps``, ``<layer>.kept.<operand>``,
        ``<layer>.saturated``, ``<layer>.saturated.<state>``.
    address : int
        In bytes.
    writable : bool
        Whether it is written, and not read.
    what : str
        What it means.
    settles : bool
        Whether the answer to a read between sequences waits until all is counted.
    """

    name: str
    address: int
    writable: bool
    what: str
    settles: bool = False


@dataclass(frozen=True)
class StateRegion:
    """The elements of a state, a word each from ``address`` on; read and written."""

    layer: str
    state: str
    address: int
    size: int
    format: Format

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.state}"


@dataclass(frozen=True)
class AddressMap:
    """Where a network's registers and states are.

    Parameters
    ----------
    registers : tuple of Register
        A word each, from address 0 on.
    states : tuple of StateRegion
        A region each, in the order of layers.
    region : int
        Words of a region.
    """

    registers: tuple[Register, ...]
    states: tuple[StateRegion, ...]
    region: int

    @classmethod
    def of(cls, network: IntegerNetwork) -> "AddressMap":
        """The map of a network.

        Raises
        ------
        UnsupportedError
            If a state's elements are wider than a word.
        """
        names: list[tuple[str, bool, str]] = [
            ("status", False, f"{Status.BUSY}: busy; {Status.ERROR}: a sequence broke a rule"),
            ("cycles", False, "clock cycles in which a sequence was in the accelerator"),
        ]
        found: list[tuple[str, State]] = []
        for layer in network.computing:
            states = [state for _, state in layer.graph.of(State)]
            found += [(layer.name, state) for state in states]
            if states:
                what = "writing anything: the next sequence starts from the layer's states"
                names.append((f"{layer.name}.load", True, what))
            names.append((f"{layer.name}.steps", False, "timesteps"))
            for operand in layer.operands:
                what = f"columns of {operand.name} that were not skipped"
                names.append((f"{layer.name}.kept.{operand.name}", False, what))
            cut = f"{layer.name}.{SATURATED}"
            names.append((cut, False, "values that formats of the layer cut off"))
            for name in saturating_states(layer.graph):
                what = f"values that the format of state {name} cut off"
                names.append((f"{cut}.{name}", False, what))
        most = max([len(names), *(state.size for _, state in found)])
        region = 1 << max(1, (most - 1).bit_length())
        regions = []
        for number, (layer_name, state) in enumerate(found, 1):
            assert state.format is not None
            if state.format.width > WORD_BITS:
                raise UnsupportedError(
                    f"State {layer_name}.{state.name} has {state.format.width} bits; registers "
                    f"hold states of at most {WORD_BITS}"
                )
            address = number * region * WORD_BYTES
            regions.append(StateRegion(layer_name, state.name, address, state.size, state.format))
        registers = tuple(
            Register(name, WORD_BYTES * place, writable, what, f".{SATURATED}" in name)
            for place, (name, writable, what) in enumerate(names)
        )
        return cls(registers, tuple(regions), region)

    @property
    def address_bits(self) -> int:
        """Bits of a byte address."""
        words = self.region * (len(self.states) + 1)
        return (words * WORD_BYTES - 1).bit_length()

    @cached_property
    def addresses(self) -> dict[str, int]:
        """By name: the address of a register, or of a state's first element."""
        states = {state.name: state.address for state in self.states}
        return {register.name: register.address for register in self.registers} | states

    def describe(self) -> dict[str, Any]:
        """The map for programs: bytes, as the manifest has it."""
        return {
            "address_bits": self.address_bits,
            "registers": [
                {
                    "name": register.name,
                    "address": register.address,
                    "access": "write" if register.writable else "read",
                    "what": register.what,
                }
                for register in self.registers
            ],
            "states": [
                {
                    "layer": state.layer,
                    "state": state.state,
                    "address": state.address,
                    "size": state.size,
                    "format": str(state.format),
                }
                for state in self.states
            ],
        }
