"""Sequences for a design, with what its golden and its cycle model say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import Schedule
from ..compiler.states import LoadedStates
from ..compiler.wiring import INPUT
from . import cycles, golden, result, transactions
from .sequences import random_sequences, random_states
from .stimulus import Capture, Simulator, Stimulus

__all__ = ["Experiment"]

READ_SHARE = 0.6


@dataclass(frozen=True)
class Experiment:
    """What a network is to compute.

    Parameters
    ----------
    network : IntegerNetwork
        Of the design.
    sequences : list of numpy.ndarray
        As the golden model takes them.
    states : LoadedStates, optional
        What some sequences start from.
    read : numpy.ndarray, optional
        Bool (batch,): after which sequences registers say what states they leave. None: no
        register is read or written.
    """

    network: IntegerNetwork
    sequences: list[np.ndarray]
    states: LoadedStates | None = None
    read: np.ndarray | None = None

    @classmethod
    def random(
        cls, network: IntegerNetwork, rng: np.random.Generator, *, registers: bool
    ) -> Experiment:
        """Random sequences; with registers, some from random states, and states read after some."""
        sequences = random_sequences(network, rng)
        if not registers:
            return cls(network, sequences)
        batch = len(network.by_input(sequences)[INPUT])
        states = random_states(network, rng, batch)
        return cls(network, sequences, states, rng.random(batch) < READ_SHARE)

    @cached_property
    def expected(self) -> golden.GoldenRun:
        """What becomes of the sequences, with its traces."""
        return golden.run(self.network, self.sequences, self.states, trace=True)

    @property
    def lengths(self) -> list[int]:
        """Timesteps of each sequence."""
        return [len(sequence) for sequence in self.sequences]

    def predict(
        self,
        schedule: Schedule,
        gaps: np.ndarray | None = None,
        stalls: np.ndarray | None = None,
        *,
        timed: bool = True,
    ) -> tuple[cycles.CycleRun, Stimulus]:
        """Cycles of a run, and what the design is fed with; see :func:`.transactions.plan`."""
        requests = None
        if self.read is not None:
            requests = transactions.plan(
                self.network, self.sequences, self.expected, self.states, self.read, timed=timed
            )
        predicted = cycles.predict(
            self.network,
            schedule,
            self.expected.traces,
            self.lengths,
            gaps=gaps,
            stalls=stalls,
            states=self.states,
            transactions=requests,
        )
        if requests is not None:
            requests = transactions.with_counters(
                requests, self.network, self.expected, self.lengths, predicted.busy, timed=timed
            )
        stimulus = result.stimulus_of(
            self.sequences, self.expected.outputs, gaps, stalls, transactions=requests
        )
        # A reversal is silent until it has seen all of a sequence.
        patience = max(stimulus.limit, 2 * predicted.longest_pause)
        return predicted, replace(stimulus, limit=patience)

    def run(
        self,
        name: str,
        device: Simulator,
        predicted: cycles.CycleRun,
        stimulus: Stimulus,
        vcd: Path | None = None,
    ) -> Capture:
        """Run the design in a simulator with what :meth:`predict` gave, and check all of it.

        Raises
        ------
        MismatchError
            If one bit or cycle is not the models'.
        """
        capture = device.run(stimulus, vcd=vcd)
        result.compare(
            capture, self.expected.outputs, predicted, name, transactions=stimulus.transactions
        )
        return capture
