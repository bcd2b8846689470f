"""Regression: hardware against its models on random sequences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import Schedule
from .experiment import Experiment
from .stimulus import Simulator, random_stalls

__all__ = ["Check", "regress"]

STALL_PROBABILITY = 0.3


@dataclass(frozen=True)
class Check:
    """What a regression found equal.

    Parameters
    ----------
    simulators : tuple of str
        What ran; each of them with the input flowing and with random stalls on both streams.
    sequences, outputs : int
        Sequences run, and output elements that were equal in every bit and cycle, in each run.
    cycles : int
        Clock cycles of all runs together.
    """

    simulators: tuple[str, ...]
    sequences: int
    outputs: int
    cycles: int


def regress(
    network: IntegerNetwork,
    schedule: Schedule,
    simulators: Sequence[str],
    device: Callable[[str], Simulator],
    seed: int,
) -> Check:
    """Run random sequences in each simulator, flowing and with random stalls on both streams.

    Raises
    ------
    MismatchError
        If one bit or cycle is not the models'.
    """
    rng = np.random.default_rng(seed)
    experiment = Experiment.random(network, rng, registers=schedule.registers)
    flowing = experiment.predict(schedule)
    inputs, outputs = len(flowing[1].data), flowing[1].outputs
    gaps, stalls = (random_stalls(rng, beats, STALL_PROBABILITY) for beats in (inputs, outputs))
    runs = [flowing, experiment.predict(schedule, gaps, stalls)]
    total = 0
    for name in simulators:
        simulator = device(name)
        total += sum(experiment.run(name, simulator, *run).cycles for run in runs)
    return Check(tuple(simulators), len(experiment.sequences), outputs, total)
