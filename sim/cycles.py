"""The cycle model: in which cycle every element leaves, from the column lists alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer import IntegerLayer, IntegerNetwork
from ..compiler.integer_attention import IntegerAttention
from ..compiler.schedule import Schedule
from ..compiler.skew import join_depths, taps_of
from ..compiler.streams import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Pool,
    Reverse,
    Sum,
    Window,
)
from ..compiler.wiring import INPUT
from .attention_cycles import AttentionModel, Walks
from .conv_cycles import ConvolutionModel
from .engine_cycles import Columns, EngineModel
from .golden import LayerTrace
from .join_cycles import AdderModel, JoinModel
from .stream_cycles import (
    LONG_AGO,
    ArgMaxModel,
    Consumer,
    EmbeddingModel,
    ForkModel,
    LastStepModel,
    PoolModel,
    Port,
    ReverseModel,
)
from .window_cycles import WindowModel

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
    engines: dict[str, EngineModel | AttentionModel] = {}
    depths = join_depths(network)
    entries: dict[str, Sequence[Consumer]] = {}

    def sink_of(stream: str) -> Consumer:
        sinks = [entries[reader][place] for reader, place in taps_of(network, stream)]
        if not sinks:
            return port
        return sinks[0] if len(sinks) == 1 else ForkModel(sinks)

    for layer in reversed(network.layers):
        sink = sink_of(layer.name)
        sizes = [network.sizes[source] for source in network.sources[layer.name]]
        match layer:
            case IntegerLayer():
                columns = Columns(traces[layer.name], network.steps(layer, lengths))
                kind = ConvolutionModel if layer.convolutional else EngineModel
                engine = engines[layer.name] = kind(schedule.of(layer.name), columns, sink)
                entries[layer.name] = [engine]
            case IntegerAttention():
                walks = Walks(traces[layer.name], network.steps(layer, lengths))
                folded = schedule.attention(layer.name)
                attention = AttentionModel(folded, walks, depths[layer.name], sink)
                engines[layer.name], entries[layer.name] = attention, attention.queues
            case LastStep():
                entries[layer.name] = [LastStepModel(sink)]
            case Pool():
                source = network.formats[network.sources[layer.name][0]]
                entries[layer.name] = [PoolModel(sizes[0], layer.latency(source), sink)]
            case Window():
                entries[layer.name] = [WindowModel(layer, sizes[0], sink)]
            case Embedding():
                entries[layer.name] = [EmbeddingModel(network.sizes[layer.name], sink)]
            case ArgMax():
                entries[layer.name] = [ArgMaxModel(sizes[0], sink)]
            case Reverse():
                entries[layer.name] = [ReverseModel(sizes[0], sink)]
            case Concatenate():
                entries[layer.name] = JoinModel(sizes, depths[layer.name], sink).queues
            case Sum():
                entries[layer.name] = AdderModel(sizes, depths[layer.name], sink).queues
            case _:
                raise TypeError(f"Layer must be a known one, not {layer!r}")
    sink = sink_of(INPUT)
    if not isinstance(sink, EngineModel | ForkModel):
        sink = ForkModel([sink])  # which can wait for a gap
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
