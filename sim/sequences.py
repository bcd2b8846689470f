"""Random input sequences that reach what real ones do."""

import numpy as np

from ..compiler.graph import State
from ..compiler.inputs import NetworkInput
from ..compiler.integer_network import IntegerNetwork
from ..compiler.states import LoadedStates
from ..compiler.wiring import INPUT

__all__ = ["LENGTHS", "random_sequences", "random_states"]

LENGTHS = (7, 1, 12, 2, 1, 5)
"""Timesteps: long and short sequences, and short ones next to each other."""


def random_states(
    network: IntegerNetwork, rng: np.random.Generator, batch: int
) -> LoadedStates | None:
    """Integer states of every layer, over all of their ranges, for some sequences of a batch."""
    values = {}
    for layer in network.computing:
        states = [state for _, state in layer.graph.of(State)]
        values[layer.name] = {
            state.name: rng.integers(state.format.min, state.format.max + 1, (batch, state.size))
            for state in states
            if state.format is not None
        }
    values = {name: found for name, found in values.items() if found}
    return LoadedStates(values, rng.random(batch) < 0.6) if values else None


def random_sequences(
    network: IntegerNetwork, rng: np.random.Generator, lengths: tuple[int, ...] = LENGTHS
) -> list[np.ndarray]:
    """Integer sequences (time, features): noise, slow drift, standing still, zeros and extremes.

    Where the network has no room for one of the lengths, it is as long as there is room; where its
    windows need more, as long as they need. Where there is a memory, a sequence of it comes before
    each of the input; those of the memory have the lengths in reverse.
    """
    found = [
        _random(taken, rng, lengths if taken.name == INPUT else lengths[::-1])
        for taken in network.inputs.values()
    ]
    return [sequence for together in zip(*found, strict=True) for sequence in together]


def _random(
    taken: NetworkInput, rng: np.random.Generator, lengths: tuple[int, ...]
) -> list[np.ndarray]:
    longest = taken.max_steps or max(*lengths, taken.min_steps)
    lengths = tuple(min(max(length, taken.min_steps), longest) for length in lengths)
    low, high = taken.range
    size = taken.size
    sequences = []
    for number, length in enumerate(lengths):
        match number % 4:
            case 0:
                values = rng.integers(low, high + 1, (length, size))
            case 1:
                values = rng.choice([low, 0, high], (length, size))
            case 2:
                drift = rng.normal(size=(length, size)).cumsum(axis=0) * high / 16
                values = np.round(drift).astype(np.int64)
            case _:
                values = np.repeat(rng.integers(low, high + 1, (1, size)), length, axis=0)
        values[rng.random(values.shape) < 0.3] = 0
        sequences.append(np.clip(values, low, high))
    return sequences
