"""Quantized models: the integer network behind float inputs and outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from .compiler import artifact
from .compiler.attention import ENERGIES
from .compiler.encodings import UNIT_MULTIPLIER, Integers
from .compiler.errors import DeltaloomError, UnsupportedError
from .compiler.evaluate import as_pairs
from .compiler.graph import Affine, Scale, State
from .compiler.inputs import NetworkInput
from .compiler.integer import IntegerLayer, IntegerNetwork
from .compiler.integer_attention import IntegerAttention
from .compiler.network import Network
from .compiler.pwl import PiecewiseLinear, worst_error
from .compiler.quantize import quantize as quantize_network
from .compiler.recipe import Recipe
from .compiler.schedule import DEFAULT_LANES, schedule
from .compiler.states import LoadedStates, load_states, quantize_states
from .compiler.stream_values import check_indices
from .sim import activity, cycles, golden
from .sim.activity import Activity

if TYPE_CHECKING:
    import torch

    from .search.skipping import Skipping
    from .search.trials import Evaluate
    from .training.prepared import Prepared

__all__ = ["ModelRun", "QuantizedModel", "float_network", "load", "prepare", "quantize"]


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
        inputs = self.network.inputs
        given = as_pairs({name: taken.size for name, taken in inputs.items()}, x, memory)
        found = [quantize_sequences(taken, given[name]) for name, taken in inputs.items()]
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
        size = artifact.model_bytes(self.network)
        return {
            **{
                name: {"size": taken.size, "format": str(taken.format)}
                for name, taken in self.network.inputs.items()
            },
            "output": {"size": self.network.output_size, "format": str(self.network.output_format)},
            "once_a_sequence": self.network.once,
            "layers": [
                _attention_summary(layer)
                if isinstance(layer, IntegerAttention)
                else _layer_summary(layer)
                for layer in self.network.multiplying
            ],
            "bytes": {
                "weights": size.weights,
                "biases": size.biases,
                "tables": size.tables,
                "float32": size.float32,
            },
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


def _layer_summary(layer: IntegerLayer) -> dict[str, Any]:
    nodes = layer.graph.nodes
    affines = [affine for _, affine in layer.graph.of(Affine)]
    return {
        "name": layer.name,
        "cell": layer.cell,
        "inputs": layer.input_size,
        "units": layer.units,
        "skip": layer.skip.value,
        "theta": dict(layer.theta),
        "kept": dict(layer.kept),
        "operands": {operand.name: str(operand.format) for operand in layer.operands},
        "formats": {node.name: str(node.format) for node in nodes},
        "weights": {
            affine.key(path): str(path.format)
            if isinstance(path.encoding, Integers)
            else f"{path.encoding} {path.format}"
            for affine in affines
            for path in affine.paths
        },
        "real_scales": {
            node.name.removesuffix("_scaled"): node.multiplier / UNIT_MULTIPLIER
            for _, node in layer.graph.of(Scale)
        },
        "accumulator_bits": max(layer.sum_width(affine) for affine in affines),
        "tables": _table_summary(layer.tables),
    }


def _attention_summary(layer: IntegerAttention) -> dict[str, Any]:
    formats = {"q": layer.query, "k": layer.key, "v": layer.value, "p": layer.weight}
    formats |= {"y": layer.format} | ({"t": layer.hidden} if layer.hidden else {})
    return {
        "name": layer.name,
        "cell": layer.cell,
        "inputs": layer.size,
        "units": layer.value_size,
        "skip": "zero" if layer.skips_zeros else "none",
        "theta": {},
        "formats": {name: str(format) for name, format in formats.items()},
        "weights": {ENERGIES: str(layer.energy)} if layer.energy else {},
        "real_scales": {},
        "accumulator_bits": layer.accumulator_width,
        "tables": _table_summary(layer.tables),
    }


def _table_summary(tables: Mapping[str, PiecewiseLinear]) -> dict[str, Any]:
    return {
        name: {
            "function": table.function,
            "segments": len(table.base),
            "worst_error": worst_error(table) if table.known else None,
        }
        for name, table in tables.items()
    }


def load(path: str | PathLike[str]) -> QuantizedModel:
    """Read a model that :meth:`QuantizedModel.save` wrote; anything else is a ModelFileError."""
    return QuantizedModel(artifact.load(path))


def quantize(
    model: torch.nn.Module | Network | str | PathLike[str],
    calibration: Any = None,
    recipe: Recipe | None = None,
    *,
    memory: Any = None,
    states: Any = None,
    evaluate: Evaluate | None = None,
    progress: Callable[[str], None] | None = None,
    max_steps: int | None = None,
) -> QuantizedModel:
    """Quantize a trained network after training, or freeze one that was trained in integers.

    Parameters
    ----------
    model : torch.nn.Module, Network, or path of an ONNX file
        Graphs of layers; see :func:`~deltaloom.compiler.torch_frontend.from_torch` for what is
        taken and :func:`~deltaloom.compiler.onnx_frontend.from_onnx`, which also takes a part of a
        file. Indices of an embedding are one feature; frames are vectors, see
        :func:`~deltaloom.pixel_vectors`. Or what :func:`prepare` gave, alone:
        it has its recipe and ranges.
    calibration : array or list of arrays
        Sample inputs, NumPy or torch, float: (batch, time, features), or a list of
        (time, features).
    recipe : Recipe, optional
        Widths, clipping, skipping. Left out: 8 bits, nothing skipped. With a ``max_loss`` the
        paths to which the loss is most sensitive stay at 16 bits, as many as that needs.
    memory : array or list of arrays, optional
        As ``calibration``, a sequence for each of its own, of other lengths or not: for a network
        with a memory.
    states : mapping of str to mapping of str to array, optional
        By layer and state, float (batch, size): what the sample sequences start from.
    evaluate : callable, optional
        For ``max_loss``: the loss of a model, or its error, as a number; lower is better. It is
        called with models that take float sequences and give float outputs, once with the float
        network, then with quantized ones.
    progress : callable, optional
        Takes a line of text for each step of the search. Left out: a bar on the terminal.
    max_steps : int, optional
        Timesteps of the longest sequence, for which layers that walk sequences from their end
        (``bidirectional=True``) have room; longer ones are refused. Left out: those of the longest
        sequence of the calibration. A Network says so itself.

    Raises
    ------
    UnsupportedError
        For a layer or option that Deltaloom does not do, by name.
    DeltaloomError
        For weights or data that are not finite or have the wrong shape.
    """
    if is_prepared(model):
        given = (calibration, recipe, memory, states, evaluate, max_steps)
        if any(argument is not None for argument in given):
            raise DeltaloomError(
                "Model that was prepared must be quantized without calibration, recipe, memory, "
                "states, evaluate and max_steps: it has its own"
            )
        return QuantizedModel(model.network(), model.recipe)
    recipe = recipe_or_default(recipe)
    network = float_network(model, calibration, max_steps)
    if (recipe.max_loss is None) != (evaluate is None):
        raise DeltaloomError(
            "Evaluate must come with a recipe that has a max_loss, which is what it is for"
            if recipe.max_loss is None
            else "Recipe max_loss must come with evaluate, a function that gives a model's loss"
        )
    if evaluate is None:
        integer = quantize_network(network, calibration, recipe, states, memory=memory)
        return QuantizedModel(integer, recipe)
    if memory is not None:
        raise UnsupportedError(
            "Search for paths that stay at 16 bits is for networks with an input alone, "
            "without memory"
        )
    from .search.skipping import skip_paths
    from .search.trials import Trials

    trials = Trials(network, calibration, evaluate, QuantizedModel, states)
    found, skipping = skip_paths(trials, recipe, progress)
    return QuantizedModel(found.network, found.recipe, skipping)


def prepare(
    model: torch.nn.Module | Network | str | PathLike[str],
    recipe: Recipe | None,
    calibration: Any,
    *,
    learn_ranges: bool = False,
    max_steps: int | None = None,
) -> Prepared:
    """Make a torch module that is trained in the integer arithmetic it will be deployed in.

    Training starts with the model's weights; :func:`quantize` freezes the result.

    Parameters
    ----------
    model : torch.nn.Module, Network, or path of an ONNX file
        As :func:`quantize` takes it; it is not changed. The result is called as a module is, and
        as any torch module with one input (batch, time, features) for the others.
    recipe : Recipe, optional
        Widths, clipping, skipping and thresholds. None: 8 bits, nothing skipped.
    calibration : array or list of arrays
        Sample inputs, as :func:`quantize` takes them; they choose all ranges.
    learn_ranges : bool
        Whether the ranges of weights and of the inputs of products are trained too (Jain et al.
        2019), as ``ranges.log2_steps``. Otherwise they stay.
    max_steps : int, optional
        As :func:`quantize` takes it.

    Raises
    ------
    UnsupportedError
        For a layer or option that Deltaloom does not do, or that has no derivative, by name.
    DeltaloomError
        For weights or data that are not finite or have the wrong shape.
    """
    from .training.prepare import prepare_network

    recipe = recipe_or_default(recipe)
    steps = _steps(model, calibration, max_steps)
    return prepare_network(
        _read(model, steps), recipe, calibration, learn_ranges=learn_ranges, max_steps=steps
    )


def recipe_or_default(recipe: Any) -> Recipe:
    """8 bits, nothing skipped, if there is none."""
    if not isinstance(recipe, Recipe | None):
        raise TypeError(f"Recipe must be a deltaloom.Recipe, not {type(recipe).__name__}")
    return recipe or Recipe()


def float_network(model: Any, calibration: Any, max_steps: int | None = None) -> Network:
    """The float network of a module or a file."""
    steps = _steps(model, calibration, max_steps)
    model = _read(model, steps)
    if isinstance(model, Network):
        return model
    from .compiler.torch_frontend import from_torch

    return from_torch(model, steps)


def is_prepared(model: Any) -> TypeGuard[Prepared]:
    """Whether a model came from :func:`prepare`; torch is not imported for that."""
    module = sys.modules.get(f"{__package__}.training.prepared")
    return module is not None and isinstance(model, module.Prepared)


def _read(model: Any, max_steps: int | None) -> Any:
    """The network of a file; any other model as it is."""
    if isinstance(model, str | PathLike):
        if not str(model).lower().endswith(".onnx"):
            raise UnsupportedError(
                f"Model must be a torch.nn.Module, a Network or an ONNX file, not {str(model)!r}"
            )
        from .compiler.onnx_frontend import from_onnx

        return from_onnx(model, max_steps=max_steps)
    return model


def _steps(model: Any, calibration: Any, max_steps: int | None) -> int | None:
    """Timesteps of the longest sequence; None for what is refused later on."""
    if max_steps is not None:
        if isinstance(model, Network):
            raise DeltaloomError("max_steps must be left out for a Network, whose layers have it")
        if type(max_steps) is not int or max_steps < 1:
            raise DeltaloomError(f"max_steps must be a positive integer, not {max_steps!r}")
        return max_steps
    try:
        return max(map(len, calibration), default=None)
    except TypeError:
        return None
