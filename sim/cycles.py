"""The cycle model: in which cycle every element leaves, from the column lists alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer import IntegerLayer, IntegerNetwork
from ..compiler.schedule import Schedule
from .conv_cycles import WindowModel
from .engine_cycles import Columns, EngineModel
from .golden import LayerTrace
from .stream_cycles import LONG_AGO, Consumer, LastStepModel, Port

__all__ = ["CycleRun", "predict"]

Array = np.ndarray


@dataclass(frozen=True)
class CycleRun:
    """When elements move. Cycle 0 is the first one after reset.

    Parameters
    ----------
    accepted : numpy.ndarray
        Int64 (input elements,): cycle in which each is taken.
    delivered : numpy.ndarray
        Int64 (output elements,): cycle in which each leaves.
    released : dict of str to numpy.ndarray
        By layer, int64 (timesteps,): cycle in which the last entry of a timestep is issued.
    """

    accepted: Array
    delivered: Array
    released: dict[str, Array]


def predict(
    network: IntegerNetwork,
    schedule: Schedule,
    traces: dict[str, LayerTrace],
    lengths: Sequence[int],
    *,
    gaps: Array | None = None,
    stalls: Array | None = None,
) -> CycleRun:
    """Cycles of sequences that follow each other without a pause.

    Parameters
    ----------
    network : IntegerNetwork
        What is computed.
    schedule : Schedule
        How it is folded.
    traces : dict of str to LayerTrace
        Of the golden model, for the same sequences.
    lengths : sequence of int
        Timesteps of each sequence.
    gaps, stalls : numpy.ndarray, optional
        Cycles for which input and output elements are held back; see
        :class:`~deltaloom.sim.stimulus.Stimulus`.
    """
    port = Port(stalls)
    sink: Consumer = port
    engines: dict[str, EngineModel] = {}
    selected = network.selects_last_step
    for layer in reversed(network.layers):
        if isinstance(layer, IntegerLayer):
            counts = [1] * len(lengths) if selected else lengths
            kind = WindowModel if layer.convolutional else EngineModel
            sink = kind(schedule.of(layer.name), Columns(traces[layer.name], counts), sink)
            engines[layer.name] = sink
        else:
            sink = LastStepModel(sink)
            selected = False
    size = network.input_size
    nothing = np.full(size, LONG_AGO)
    accepted: list[Array] = []
    for length in lengths:
        for time in range(length):
            here = slice(len(accepted) * size, (len(accepted) + 1) * size)
            offered = None if gaps is None else gaps[here]
            accepted.append(sink.take(nothing.copy(), time == length - 1, offered))
    return CycleRun(
        np.concatenate(accepted),
        np.concatenate(port.delivered),
        {name: np.array(engine.released) for name, engine in engines.items()},
    )
