"""What a simulation is fed with and what comes out of it, the same for every simulator.

Cycle 0 is the first clock cycle after reset. A beat transfers in a cycle at whose end, the rising
clock edge, valid and ready are both high.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ..compiler.errors import MismatchError
from . import vectors
from .transactions import Transactions
from .vectors import random_stalls

__all__ = [
    "RESET_CYCLES",
    "Capture",
    "Ports",
    "Progress",
    "Simulator",
    "Stimulus",
    "judge",
    "random_stalls",
]

RESET_CYCLES = 4
"""Clock cycles for which reset is held, nothing offered and nothing taken, before cycle 0."""

Progress = Callable[[str], None]
"""Told in a few words what a long build is doing."""


@dataclass(frozen=True)
class Ports:
    """Widths of the two data ports of a design, in bits: whole bytes, at most eight.

    ``address_bits`` are those of its register block; 0 without one.
    """

    input_bits: int
    output_bits: int
    address_bits: int = 0

    def __post_init__(self) -> None:
        for name in ("input_bits", "output_bits"):
            bits = getattr(self, name)
            if bits not in range(8, 65, 8):
                name = name.replace("_", " ").capitalize()
                raise ValueError(f"{name} must be a multiple of 8 from 8 to 64, not {bits!r}")


@dataclass(frozen=True)
class Stimulus:
    """Input beats with their timing, and how many output beats to wait for.

    Parameters
    ----------
    data : int64 (n,)
        Input beats in order.
    last : bool (n,)
        Marks the last beat of each sequence.
    outputs : int
        Output beats (m) to wait for.
    gaps : int64 (n,), optional
        Beat ``i`` is offered ``gaps[i]`` cycles after beat ``i - 1`` was accepted (the first: after
        reset). Accepted in cycle c, valid is low in c + 1 ... c + gap. None: always offered.
    stalls : int64 (m,), optional
        Ready is low for ``stalls[j]`` cycles after output beat ``j - 1`` was taken. None: never.
    idle : int
        Cycles after the last transfer in which nothing more may come out.
    limit : int
        Cycles without a transfer, gap or stall after which the design counts as hung.
    transactions : Transactions, optional
        Reads and writes of registers between beats.
    """

    data: np.ndarray
    last: np.ndarray
    outputs: int
    gaps: np.ndarray | None = None
    stalls: np.ndarray | None = None
    idle: int = 64
    limit: int = 100_000
    transactions: Transactions | None = None

    def __post_init__(self) -> None:
        for name, floor in (("outputs", 0), ("idle", 0), ("limit", 1)):
            if getattr(self, name) < floor:
                raise ValueError(
                    f"Stimulus {name} must be at least {floor}, not {getattr(self, name)!r}"
                )
        n = np.size(self.data)
        for name, kind, length in (
            ("data", np.int64, n),
            ("last", np.bool_, n),
            ("gaps", np.int64, n),
            ("stalls", np.int64, self.outputs),
        ):
            value = getattr(self, name)
            if value is None and name in ("gaps", "stalls"):
                continue
            array = np.array(value)
            if array.shape != (length,):
                raise ValueError(f"Stimulus {name} must have shape ({length},), not {array.shape}")
            if length and not np.can_cast(array.dtype, kind, "safe"):
                raise TypeError(f"Stimulus {name} must be {np.dtype(kind)}, not {array.dtype}")
            array = array.astype(kind)
            if (
                name in ("gaps", "stalls")
                and length
                and not 0 <= array.min() <= array.max() < 2**31
            ):
                raise ValueError(f"Stimulus {name} must be from 0 to 2**31 - 1")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def check(self, ports: Ports) -> None:
        """Raise ValueError where an input beat or an address does not fit its port."""
        addresses = () if self.transactions is None else self.transactions.address.tolist()
        if max(addresses, default=-1) >= 1 << ports.address_bits or (
            addresses and not ports.address_bits
        ):
            raise ValueError(f"Stimulus addresses must fit {ports.address_bits} bits")
        bound = 1 << (ports.input_bits - 1)
        if self.data.size and not -bound <= self.data.min() <= self.data.max() < bound:
            raise ValueError(f"Stimulus data must fit {ports.input_bits} bits")


@dataclass(frozen=True)
class Capture:
    """What a design did with a stimulus of n input beats and m output beats.

    Members
    -------
    data : int64 (m,)
        Output beats in order.
    last, user : bool (m,)
        Their markers: end of a sequence, end of a timestep's vector.
    accepted : int64 (n,)
        Cycle in which each input beat transferred.
    delivered : int64 (m,)
        Cycle in which each output beat transferred.
    read, answered : int64 (k,)
        What each transaction read, 0 of a write, and the cycle of its answer.
    cycles : int
        Clock cycles simulated, idle time included, reset not.
    """

    data: np.ndarray
    last: np.ndarray
    user: np.ndarray
    accepted: np.ndarray
    delivered: np.ndarray
    cycles: int
    read: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    answered: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class Simulator(Protocol):
    """A design, ready to run."""

    def run(self, stimulus: Stimulus, *, vcd: Path | None = None) -> Capture:
        """Run from reset. A fault of the design (it hangs, offers one beat too many, changes a
        stalled beat) is a MismatchError. ``vcd``: where to write a wave dump."""
        ...  # pragma: no cover


def judge(stimulus: Stimulus, status: int, cycle: int, accepted: int, delivered: int) -> None:
    """Raise MismatchError where a run ended with another status than ``vectors.OK``."""
    fault = vectors.sentence(
        status, cycle, accepted, stimulus.data.size, delivered, stimulus.outputs
    )
    if fault:
        raise MismatchError(fault)
