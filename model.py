"""Quantized models: the integer network behind float inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .compiler import artifact
from .compiler.errors import DeltaloomError
from .compiler.evaluate import as_pairs
from .compiler.graph import State
from .compiler.inputs import NetworkInput
from .compiler.integer_network import IntegerNetwork
from .compiler.recipe import Recipe
from .compiler.schedule import DEFAULT_LANES, schedule
from .compiler.states import LoadedStates, load_states, quantize_states
from .compiler.stream_values import check_indices
from .compiler.summary import summary_of
from .sim import activity, cycles, golden
from .sim.activity import Activity

if TYPE_CHECKING:
    from .search.skipping import Skipping

__all__ = ["ModelRun", "QuantizedModel", "load"]


@dataclass(frozen=True)
class ModelRun:
    """What the golden model says of sequences.

    Parameters
    ----------
    outputs, integers : numpy.ndarray or list of numpy.ndarray
        As :meth:`QuantizedModel.__call__` and :meth:`QuantizedModel.integer` give them.
    states, integer_states : dict of str to dict of str to numpy.ndarray
        By layer and state, (batch, size): what each sequence's last timestep leaves, as real
        numbers and as integers.
    saturated_states : dict of str to dict of str to int
        By layer and state that was given: values that its format cut off.
    """

    outputs: Any
    integers: Any
    states: dict[str, dict[str, np.ndarray]]
    integer_states: dict[str, dict[str, np.ndarray]]
    saturated_states: dict[str, dict[str, int]]


class QuantizedModel:
    """A network in integers. Calling it runs the golden model.

    Parameters
    ----------
    network : IntegerNetwork
        Graphs, formats, weights and tables.
    recipe : Recipe, optional
        What it was quantized by: with the same network and calibration it gives this model again.
        None for a model that was loaded.
    skipping : Skipping, optional
        How the paths that stay at 16 bits were found, if a bound of the loss asked for that.
    """

    def __init__(
        self,
        network: IntegerNetwork,
        recipe: Recipe | None = None,
        skipping: Skipping | None = None,
    ):
        self.network = network
        self.recipe = recipe
        self.skipping = skipping

    def __call__(
        self, x: Any, states: Any = None, *, memory: Any = None
    ) -> np.ndarray | list[np.ndarray]:
        """Outputs as real numbers.

        Parameters
        ----------
        x : array or list of arrays
            NumPy or torch, float: (batch, time, features), or a list of (time, features). Values
            beyond the input format saturate, as they would in hardware.
        states : mapping of str to mapping of str to array, optional
            By layer and state, float (batch, size): what the sequences start from. What is left
            out starts as the model says, from zero if it says nothing.
        memory : array or list of arrays, optional
            As ``x``, a sequence for each of its own, of other lengths or not: for a network with
            a memory.

        Returns
        -------
        numpy.ndarray or list of numpy.ndarray
            Float64 (batch, time, outputs), or a list of (time, outputs) if ``x`` is a list;
            (batch, outputs) in both cases if the network gives one vector a sequence.
        """
        return self.run(x, states, memory=memory).outputs

    def run(self, x: Any, states: Any = None, *, memory: Any = None) -> ModelRun:
        """Outputs, and the states that the sequences leave; takes what the call takes."""
        sequences = self.quantize_input(x, memory)
        given, cut = quantize_states(self.network, states, len(x))
        found = self._golden(sequences, given)
        integers = self.shape_outputs(found.outputs, x)
        return ModelRun(
            outputs=self.to_float(integers),
            integers=integers,
            states=self.states_to_float(found.states),
            integer_states=found.states,
            saturated_states=cut,
        )

    def integer(
        self, x: Any, states: Any = None, *, memory: Any = None
    ) -> np.ndarray | list[np.ndarray]:
        """Outputs as raw integers of the output format: as the call gives them, but int64.

        ``states``, by layer and state, are integers (batch, size) of the states' formats.
        """
        sequences = self.quantize_input(x, memory)
        given = load_states(self.network, states, len(x))
        return self.shape_outputs(self._golden(sequences, given).outputs, x)

    def _golden(self, sequences: list[np.ndarray], states: LoadedStates | None) -> golden.GoldenRun:
        """What all that the model gives comes from."""
        return golden.run(self.network, sequences, states)

    def states_to_float(
        self, states: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Real values of integer states, by layer and state."""
        return {
            layer.name: {
                state.name: state.format.dequantize(states[layer.name][state.name])
                for _, state in layer.graph.of(State)
                if state.format is not None
            }
            for layer in self.network.computing
            if layer.name in states
        }

    def quantize_input(self, x: Any, memory: Any = None) -> list[np.ndarray]:
        """Input integers of each sequence, int64 (time, features), in the order of the port.

        Values saturate; indices of an embedding's table have to be in it. With a memory it is in
        turn a sequence of the memory and one of the input.
        """
        given = as_pairs(self.network.input_sizes, x, memory)
        found = [
            quantize_sequences(taken, given[name]) for name, taken in self.network.inputs.items()
        ]
        return [sequence for together in zip(*found, strict=True) for sequence in together]

    def shape_outputs(self, outputs: list[np.ndarray], x: Any) -> np.ndarray | list[np.ndarray]:
        """Outputs of each sequence, (time, outputs), in the shape that belongs to input ``x``."""
        if self.network.once:
            return np.concatenate(outputs)
        return outputs if isinstance(x, list | tuple) else np.stack(outputs)

    def to_float(self, integers: Any) -> Any:
        """Real values of output integers: float64, an array or a list as they are."""
        if isinstance(integers, list):
            return [self.network.output_format.dequantize(values) for values in integers]
        return self.network.output_format.dequantize(integers)

    def summary(self) -> dict[str, Any]:
        """What the model is made of, for programs and reports.

        By layer: cell, sizes, formats, the accumulator that no input can overflow, and for each
        activation table its segments and its worst error over every input code, in units of the
        result's last place; None if its function is a user's own and the model was read from a
        file. Sizes are in bytes. The recipe, and the search for paths that stay at 16 bits, are
        None where they are not known.
        """
        return {
            **summary_of(self.network),
            "recipe": self.recipe.to_dict() if self.recipe else None,
            "skipping": self.skipping.to_dict() if self.skipping else None,
        }

    def accuracy(self, x: Any, labels: Any, *, memory: Any = None) -> float:
        """Share of outputs whose largest element is the one that the label names.

        Parameters
        ----------
        x : array or list of arrays
            As the call takes it.
        labels : array or list of arrays
            Integers: (batch,) if the network gives one vector a sequence; else one for each
            timestep, (batch, time), or a list of (time,).
        memory : array or list of arrays, optional
            As the call takes it.
        """
        outputs = self.integer(x, memory=memory)
        shapes = [np.shape(part)[:-1] for part in outputs]
        if len(labels) != len(outputs) or [np.shape(part) for part in labels] != shapes:
            wanted = "sequence" if self.network.once else "timestep"
            raise DeltaloomError(f"Labels must be one integer for each {wanted}")
        size = self.network.output_size
        wanted = np.concatenate([np.ravel(part) for part in labels])
        if wanted.dtype.kind not in "iu" or wanted.min() < 0 or wanted.max() >= size:
            raise DeltaloomError(f"Labels must be integers from 0 to {size - 1}")
        found = np.concatenate([np.reshape(part, (-1, size)) for part in outputs])
        return float(np.mean(found.argmax(axis=1) == wanted))

    def activity(
        self, x: Any, lanes: int | Mapping[str, int] = DEFAULT_LANES, *, memory: Any = None
    ) -> Activity:
        """What of the network's work the data leave to do.

        Parameters
        ----------
        x : array or list of arrays
            As the call takes it; the sequences follow each other without a pause.
        lanes : int or mapping of str to int
            As :func:`~deltaloom.generate` takes them, for reads of weight memories and cycles.
        memory : array or list of arrays, optional
            As the call takes it.

        Returns
        -------
        Activity
            Temporal sparsity by layer and operand, operations, reads of weight memories and
            cycles a timestep, from the golden and the cycle model.
        """
        sequences = self.quantize_input(x, memory)
        lengths = [len(sequence) for sequence in sequences]
        traces = golden.run(self.network, sequences, trace=True).traces
        folded = schedule(self.network, lanes)
        delivered = cycles.predict(self.network, folded, traces, lengths).delivered
        return activity.measure(self.network, traces, lengths, folded, int(delivered[-1]) + 1)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model as one safetensors file; equal models give equal bytes."""
        artifact.save(self.network, path)


def quantize_sequences(
    taken: NetworkInput, sequences: np.ndarray | list[np.ndarray]
) -> list[np.ndarray]:
    """Integers of an input's sequences."""
    if taken.entries is not None:
        title = taken.name.capitalize()
        return [check_indices(title, sequence, taken.entries) for sequence in sequences]
    return [taken.format.quantize(sequence) for sequence in sequences]


def load(path: str | PathLike[str]) -> QuantizedModel:
    """Read a model that :meth:`QuantizedModel.save` wrote; anything else is a ModelFileError."""
    return QuantizedModel(artifact.load(path))
