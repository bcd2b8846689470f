"""The cycle model: in which cycle every element leaves, from the column lists alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.marks import is_marked
from ..compiler.schedule import Schedule
from ..compiler.skew import join_depths, taps_of
from ..compiler.states import LoadedStates
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
from .join_cycles import AdderModel, JoinModel
from .layer_golden import LayerTrace
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
from .transactions import Duration, Transactions
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
    answered : numpy.ndarray
        Int64 (transactions,): cycle in which each is answered.
    busy : int
        Cycles in which a sequence is in the accelerator.
    """

    accepted: Array
    delivered: Array
    released: dict[str, Array]
    answered: Array
    busy: int

    @property
    def longest_pause(self) -> int:
        """The most cycles from a transfer, or from the start, to the next transfer."""
        moves = np.sort(np.concatenate([[-1], self.accepted, self.delivered]))
        return int(np.diff(moves).max())


def predict(
    network: IntegerNetwork,
    schedule: Schedule,
    traces: dict[str, LayerTrace],
    lengths: Sequence[int],
    *,
    gaps: Array | None = None,
    stalls: Array | None = None,
    states: LoadedStates | None = None,
    transactions: Transactions | None = None,
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
        Timesteps of each sequence, in the order of the port.
    gaps, stalls : numpy.ndarray, optional
        Cycles for which input and output elements are held back; see
        :class:`~deltaloom.sim.stimulus.Stimulus`.
    states : LoadedStates, optional
        What sequences start from; the transactions load it.
    transactions : Transactions, optional
        Reads and writes of registers between sequences.
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
                loaded = states is not None and layer.name in states.values
                columns = Columns(
                    traces[layer.name],
                    network.steps(layer, lengths),
                    states.sequences if states is not None and loaded else None,
                )
                kind = ConvolutionModel if layer.convolutional else EngineModel
                engine = engines[layer.name] = kind(schedule.of(layer.name), columns, sink)
                entries[layer.name] = [engine]
            case IntegerAttention():
                walks = Walks(traces[layer.name], network.steps(layer, lengths))
                folded = schedule.attention(layer.name)
                attention = AttentionModel(folded, walks, depths[layer.name], sink)
                engines[layer.name], entries[layer.name] = attention, attention.queues
            case LastStep() if is_marked(network, network.sources[layer.name][0]):
                entries[layer.name] = [LastStepModel(sink)]
            case LastStep():
                entries[layer.name] = [PoolModel(sizes[0], 1, sink)]
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
    roots = [(name, root.size, source_of(sink_of(name))) for name, root in network.inputs.items()]
    accepted: list[Array] = []
    beats = 0
    answers = Answers(transactions, Duration(network, schedule) if transactions else None)
    busy, free = 0, LONG_AGO
    for number, length in enumerate(lengths):
        name, size, sink = roots[number % len(roots)]
        settled = last_settled(engines.values())
        begin = answers.give(beats, accepted, port, settled)
        if len(roots) > 1 and accepted:
            # The element before went elsewhere, and this one comes behind it.
            behind = int(accepted[-1][-1]) + 1 + (0 if gaps is None else int(gaps[beats]))
            begin = max(begin, behind)
        for time in range(length):
            offered = None if gaps is None else gaps[beats : beats + size]
            there = np.full(size, LONG_AGO if time else begin)
            accepted.append(sink.take(there, time == length - 1, offered))
            beats += size
            if not time and name == roots[0][0]:
                free = max(free, int(accepted[-1][0]))
        if name == INPUT:
            last = int(port.delivered[-1][-1])
            busy, free = busy + last - free, last
    settled = last_settled(engines.values())
    answers.give(beats, accepted, port, settled)
    return CycleRun(
        np.concatenate(accepted),
        np.concatenate(port.delivered),
        {name: np.array(engine.released) for name, engine in engines.items()},
        np.array(answers.answered, dtype=np.int64),
        busy,
    )


def source_of(sink: Consumer) -> Consumer:
    """What gives elements of the input port to a sink, and can wait for a gap."""
    return sink if isinstance(sink, EngineModel | ForkModel) else ForkModel([sink])


def last_settled(engines: Iterable[EngineModel | AttentionModel]) -> int:
    """From when on the states of all cells are there."""
    cells = (engine for engine in engines if isinstance(engine, EngineModel))
    return max((cell.settled for cell in cells), default=LONG_AGO)


class Answers:
    """When transactions are answered."""

    def __init__(self, transactions: Transactions | None, duration: Duration | None):
        self._duration = duration
        self._rows = [] if transactions is None else transactions.table().T.tolist()
        self.answered: list[int] = []

    def give(self, beats: int, accepted: list[Array], port: Port, settled: int) -> int:
        """Answer all that wait for so many input beats; when the next beat may be offered."""
        rows, duration = self._rows, self._duration
        end = LONG_AGO
        if duration is None:
            return end
        earliest = int(accepted[-1][-1]) + 1 if beats else 0
        while (at := len(self.answered)) < len(rows):
            write, address, _, before, after = rows[at]
            if before != beats:
                break
            begun = max(end + 1, earliest, port.left(after) + 1)
            end = duration.answer(bool(write), address, begun, settled)
            self.answered.append(end)
        return end + 1
