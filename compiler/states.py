"""States that a caller gives to sequences to start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .errors import DeltaloomError
from .graph import Graph, State
from .integer import IntegerLayer
from .integer_network import IntegerNetwork

__all__ = ["LoadedStates", "States", "as_states", "load_states", "quantize_states"]

States = Mapping[str, Mapping[str, np.ndarray]]
"""By layer and state: (batch, size)."""


class Stateful(Protocol):
    """A layer of either network."""

    @property
    def name(self) -> str: ...

    @property
    def graph(self) -> Graph: ...


@dataclass(frozen=True)
class LoadedStates:
    """Integer states that some sequences of a batch start from.

    Parameters
    ----------
    values : mapping of str to mapping of str to numpy.ndarray
        By layer and state, all states of each layer that it names: int64 (batch, size).
    sequences : numpy.ndarray
        Bool (batch,): the sequences that start from them. The others, and all in layers that are
        not named, start as the model says: from zero.
    """

    values: States
    sequences: np.ndarray


def as_states(states: Any, layers: Iterable[Stateful], batch: int) -> dict[str, dict[str, Any]]:
    """Check states by layer and name; float64 (batch, size) each.

    Raises
    ------
    DeltaloomError
        For a layer or state that is not there, a wrong shape, values that are not real numbers or
        not finite.
    """
    if states is None:
        return {}
    sizes = {
        layer.name: {state.name: state.size for _, state in layer.graph.of(State)}
        for layer in layers
    }
    sizes = {name: found for name, found in sizes.items() if found}
    _check_names(states, sizes, "States", "layers with states")
    checked: dict[str, dict[str, Any]] = {}
    for layer, given in states.items():
        _check_names(given, sizes[layer], f"States of layer {layer}", "its states")
        checked[layer] = {
            name: _as_state(values, f"State {layer}.{name}", (batch, sizes[layer][name]))
            for name, values in given.items()
        }
    return checked


def _check_names(given: Any, known: Mapping[str, Any], subject: str, what: str) -> None:
    if not isinstance(given, Mapping):
        raise DeltaloomError(f"{subject} must be a mapping, not {type(given).__name__}")
    for name in given:
        if name not in known:
            there = f"{what} are {', '.join(known)}" if known else f"{what} are not there"
            raise DeltaloomError(f"{subject} must not name {name!r}: {there}")


def _as_state(values: Any, subject: str, shape: tuple[int, int]) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor
        values = values.detach().cpu().double()
    found = np.asarray(values)
    if found.shape != shape:
        raise DeltaloomError(f"{subject} must have shape (batch, size) {shape}, not {found.shape}")
    if found.dtype.kind not in "fiu":
        raise DeltaloomError(f"{subject} must be real numbers, not {found.dtype}")
    found = found if found.dtype.kind in "iu" else found.astype(np.float64)
    if not np.all(np.isfinite(found)):
        raise DeltaloomError(f"{subject} must be finite; it holds NaN or infinity")
    return found


def quantize_states(
    network: IntegerNetwork, states: Any, batch: int
) -> tuple[LoadedStates | None, dict[str, dict[str, int]]]:
    """Integers of float states, and by layer and state how many of their values saturate."""
    integers: dict[str, dict[str, np.ndarray]] = {}
    cut: dict[str, dict[str, int]] = {}
    for layer, given in as_states(states, network.computing, batch).items():
        formats = {state.name: state.format for _, state in _layer(network, layer).graph.of(State)}
        integers[layer], cut[layer] = {}, {}
        for name, values in given.items():
            format = formats[name]
            assert format is not None
            integers[layer][name] = format.quantize(values)
            rounded = np.floor(values * 2.0**format.frac + 0.5)
            cut[layer][name] = int(np.sum(integers[layer][name] != rounded))
    return load_states(network, integers, batch), cut


def load_states(network: IntegerNetwork, states: Any, batch: int) -> LoadedStates | None:
    """Check integer states, and complete those of each layer that is named.

    What is left out of a layer starts as the model says. None without any state.

    Raises
    ------
    DeltaloomError
        As :func:`as_states`, and for integers beyond a state's format.
    """
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, given in as_states(states, network.computing, batch).items():
        layer = _layer(network, name)
        values[name] = {}
        for _, state in layer.graph.of(State):
            assert state.format is not None
            found = given.get(state.name)
            if found is None:
                found = np.broadcast_to(layer.initial_state(state), (batch, state.size))
            elif found.dtype.kind not in "iu" or not state.format.holds(found):
                raise DeltaloomError(
                    f"State {name}.{state.name} must be integers within {state.format}"
                )
            values[name][state.name] = found.astype(np.int64)
    return LoadedStates(values, np.ones(batch, dtype=bool)) if values else None


def _layer(network: IntegerNetwork, name: str) -> IntegerLayer:
    return next(layer for layer in network.computing if layer.name == name)
