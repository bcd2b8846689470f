"""The search for thresholds and widths: what can be left out, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .compiler.artifact import model_bytes
from .compiler.errors import DeltaloomError
from .compiler.evaluate import as_pairs
from .compiler.integer_network import IntegerNetwork
from .compiler.recipe import Recipe
from .compiler.schedule import DEFAULT_LANES, Schedule, schedule
from .compiler.states import LoadedStates
from .compiler.steps import Steps
from .compiler.wiring import INPUT, MEMORY
from .model import QuantizedModel
from .quantization import recipe_or_default
from .search.candidates import Frozen, Quantized
from .search.combine import Places, search
from .search.exploration import Exploration, Point
from .search.front import pareto_front
from .search.progress import counted
from .search.space import LEAST_SHARE, Width, dimensions, recipe_of, thresholds_of
from .search.trials import Evaluate, loss_of
from .searches import trials_of
from .sim import cycles, golden
from .sim.activity import Activity, LayerActivity, rows_of
from .sim.shared_runs import SharedRuns

__all__ = ["explore"]

Inputs = Mapping[str, Sequence[np.ndarray]]
"""Float sequences by input."""

CYCLE_STEPS = 1000
"""Timesteps, or a sequence more, that the cycles of a point are counted over."""


class Candidate(QuantizedModel):
    """A model that counts what it does, and shares what other candidates have computed."""

    def __init__(self, network: IntegerNetwork, runs: SharedRuns):
        super().__init__(network)
        self._runs = runs
        self.layers: dict[str, LayerActivity] = {}
        self.inputs: dict[str, list[np.ndarray]] = {name: [] for name in network.inputs}

    def quantize_input(self, x: Any, memory: Any = None) -> list[np.ndarray]:
        """As of any quantized model; the first sequences, or pairs of them, are noted."""
        if steps_of(self.inputs).sum() < CYCLE_STEPS:
            for name, sequences in as_pairs(self.network.input_sizes, x, memory).items():
                self.inputs[name].extend(sequences)
        return super().quantize_input(x, memory)

    def _golden(self, sequences: list[np.ndarray], states: LoadedStates | None) -> golden.GoldenRun:
        run, layers = self._runs.run(self.network, sequences, states)
        for name, found in layers.items():
            self.layers[name] = self.layers[name] + found if name in self.layers else found
        return run


def explore(
    model: Any,
    calibration: Any = None,
    recipe: Recipe | None = None,
    *,
    evaluate: Evaluate,
    max_loss: float | None = None,
    reference: float | None = None,
    thresholds: Mapping[str, Sequence[int]] | None = None,
    widths: Mapping[str, Sequence[Width]] | None = None,
    memory: Any = None,
    states: Any = None,
    max_steps: Steps = None,
    lanes: int | Mapping[str, int] = DEFAULT_LANES,
    budget: int = 500,
    progress: Callable[[str], None] | None = None,
) -> Exploration:
    """Search thresholds for delta skipping, as Rezk et al. 2022 do: by operand, in combination.

    Candidate thresholds of every operand are measured alone, then combined, and kept on a Pareto
    front of error against operations; :func:`~deltaloom.search.combine.search` says how. What a
    layer gave for the same input and the same thresholds is not computed twice. Operands with
    less than a hundredth of all operations stay as the recipe has them.

    Thresholds that are chosen on few data fit these data too well. Choose them on a validation
    part, not on the test part; with hundreds of points, let :meth:`Exploration.best` confirm its
    choice on data that took no part in the search.

    Parameters
    ----------
    model : torch.nn.Module, Network, path of an ONNX file, or QuantizedModel
        As :func:`~deltaloom.quantize` takes it, or what it gave; an integer model has its
        thresholds searched alone.
    calibration : array or list of arrays
        As :func:`~deltaloom.quantize` takes it; none for an integer model.
    recipe : Recipe, optional
        What all points have in common, and the first point. Its skip is ``delta``. Left out: 8
        bits.
    evaluate : callable
        Takes a model, callable as a :class:`~deltaloom.QuantizedModel`, and returns its error:
        lower is better. Operations are counted over the runs that it makes.
    max_loss : float, optional
        By how much a point may exceed the reference and still lead to others. Left out: all are
        followed, which takes longer.
    reference : float, optional
        Error that losses are counted from, as that of the float model. Left out: the first
        point's.
    thresholds, widths : mapping of pattern to sequence, optional
        Candidates by ``layer.operand``; see :func:`~deltaloom.search.space.dimensions`. With
        widths, a path may be skipped to 16 bits (``{"*": ["int16"]}``), or layers searched for
        few bits as MOHAQ does (``{"*": ["int4", ("int4", "int8")]}``); bytes are a third
        objective then.
    memory : array or list of arrays, optional
        As :func:`~deltaloom.quantize` takes it, of the calibration.
    states : mapping of str to mapping of str to array, optional
        As :func:`~deltaloom.quantize` takes it: what the calibration's sequences start from.
    max_steps : int or mapping of str to int, optional
        As :func:`~deltaloom.quantize` takes it.
    lanes : int or mapping of str to int
        As :func:`~deltaloom.generate` takes them, for weight accesses and cycles.
    budget : int
        Points that are measured, at the most.
    progress : callable, optional
        Takes a line of text for each point. Left out: a bar on the terminal.
    """
    for name, value in (("max_loss", max_loss), ("reference", reference)):
        if value is not None and not math.isfinite(value):
            raise DeltaloomError(f"Parameter {name} must be a finite number, not {value!r}")
    if max_loss is not None and max_loss < 0:
        raise DeltaloomError(f"Parameter max_loss must not be negative, not {max_loss!r}")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise DeltaloomError(f"Budget must be a positive integer, not {budget!r}")
    space = Space(model, calibration, recipe, memory, states, max_steps, thresholds, widths)
    folded = schedule(space.candidates.network, lanes)
    runs = SharedRuns(folded)
    measured: dict[Places, tuple[float, Candidate, int]] = {}

    def measure(places: Places) -> tuple[float, ...]:
        candidate = Candidate(space.network(places), runs)
        error = loss_of(evaluate, candidate)
        if not candidate.layers:
            raise DeltaloomError("Function evaluate must run the model that it is given")
        kept = sum(layer.operations.kept for layer in candidate.layers.values())
        stored = model_bytes(candidate.network).weights
        measured[places] = error, candidate, stored
        return (error, kept, stored) if widths else (error, kept)

    start = tuple((0, 0) for _ in space.dimensions)
    first = measure(start)
    reference = first[0] if reference is None else reference
    limit = math.inf
    if max_loss is not None:
        limit = max(first[0], reference + max_loss)
        limit += 1e-9 * abs(limit)  # as in at_most
    known = {start: first}
    shares = shares_of(measured[start][1])
    with counted("Thresholds", budget, progress) as step:
        found = search(
            [each if shares[each.name] >= LEAST_SHARE else each.fixed for each in space.dimensions],
            lambda places: known[places] if places in known else measure(places),
            limit=limit,
            budget=budget,
            progress=step,
        )
    within = [each for each in found if each.error <= limit]
    front = {each.places for each in pareto_front(within, lambda each: each.costs)}
    inputs = measured[start][1].inputs
    points = {
        each.places: space.point(each.places, *measured[each.places], folded, inputs)
        if each.places in front
        else space.point(each.places, *measured[each.places])
        for each in found
    }
    return Exploration(
        points=tuple(points.values()),
        front=tuple(sorted((points[p] for p in front), key=lambda p: (p.error, p.bytes))),
        reference=reference,
        lanes={layer.layer.name: layer.lanes for layer in folded.layers},
    )


class Space:
    """What is searched, and the models of its points."""

    def __init__(
        self,
        model: Any,
        calibration: Any,
        recipe: Recipe | None,
        memory: Any,
        states: Any,
        max_steps: Steps,
        thresholds: Mapping[str, Sequence[int]] | None,
        widths: Mapping[str, Sequence[Width]] | None,
    ):
        self.candidates: Frozen | Quantized
        self.recipe: Recipe | None
        if isinstance(model, QuantizedModel):
            given = (calibration, recipe, memory, states, max_steps, widths)
            if any(argument is not None for argument in given):
                raise DeltaloomError(
                    "Model in integers must be explored without calibration, recipe, memory, "
                    "states, max_steps and widths: it has its own"
                )
            self.recipe = None
            self.candidates = Frozen(model.network)
        else:
            self.recipe = Recipe(skip="delta") if recipe is None else recipe_or_default(recipe)
            if self.recipe.skip != "delta":
                raise DeltaloomError(
                    f"Recipe skip must be 'delta' for a search of thresholds, not "
                    f"'{self.recipe.skip}'"
                )
            if self.recipe.max_loss is not None:
                raise DeltaloomError(
                    "Recipe max_loss must be left out for a search of thresholds, which has a "
                    "max_loss of its own"
                )
            self.trials = trials_of(model, calibration, None, states, max_steps, memory)
            self.candidates = Quantized(self.trials, self.recipe)
        self.dimensions = dimensions(self.candidates.network, thresholds, widths)

    def network(self, places: Places) -> IntegerNetwork:
        """The integer network of a point."""
        if isinstance(self.candidates, Quantized):
            recipe = self.recipe_of(places)
            assert recipe is not None
            return self.candidates.network_of(recipe)
        return self.candidates.with_thresholds(thresholds_of(self.dimensions, places))

    def recipe_of(self, places: Places) -> Recipe | None:
        """The recipe of a point; None for an integer model."""
        if self.recipe is None:
            return None
        return recipe_of(self.recipe, self.trials.network, self.dimensions, places)

    def point(
        self,
        places: Places,
        error: float,
        candidate: Candidate,
        stored: int,
        folded: Schedule | None = None,
        inputs: Inputs | None = None,
    ) -> Point:
        """A point of the result; with its cycles if they are asked for."""
        model = QuantizedModel(candidate.network, self.recipe_of(places))
        spent = None if folded is None or inputs is None else cycles_of(model, folded, inputs)
        return Point(
            error=error,
            thresholds=thresholds_of(self.dimensions, places),
            recipe=self.recipe_of(places),
            model=model,
            activity=Activity(candidate.layers, spent),
            bytes=stored,
        )


def steps_of(inputs: Inputs) -> np.ndarray:
    """Timesteps of each sequence of the input."""
    return np.array([len(sequence) for sequence in inputs[INPUT]], dtype=np.int64)


def cycles_of(model: QuantizedModel, folded: Schedule, inputs: Inputs) -> float:
    """Cycles a timestep of the first sequences, or pairs of them."""
    count = int(np.searchsorted(np.cumsum(steps_of(inputs)), CYCLE_STEPS)) + 1
    taken = {name: list(sequences[:count]) for name, sequences in inputs.items()}
    sequences = model.quantize_input(taken[INPUT], taken.get(MEMORY))
    traces = golden.run(model.network, sequences, trace=True).traces
    same = schedule(model.network, {layer.layer.name: layer.lanes for layer in folded.layers})
    steps = [len(sequence) for sequence in sequences]
    delivered = cycles.predict(model.network, same, traces, steps).delivered
    return (int(delivered[-1]) + 1) / sum(map(len, taken[INPUT]))


def shares_of(candidate: Candidate) -> dict[str, float]:
    """By ``layer.operand``, its share of all operations that a candidate was asked for."""
    dense = {
        f"{layer.name}.{operand.name}": candidate.layers[layer.name].columns[operand.name].total
        * rows_of(layer, operand)
        * operand.dense_entries
        / operand.size
        for layer in candidate.network.computing
        for operand in layer.operands
    }
    return {name: count / sum(dense.values()) for name, count in dense.items()}
