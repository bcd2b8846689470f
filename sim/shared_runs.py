"""Golden runs of networks that have layers in common: what was computed is not computed again."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import Schedule
from ..compiler.states import LoadedStates
from ..compiler.streams import StreamLayer
from . import golden
from .activity import LayerActivity, measure, measure_attention, measure_layer
from .golden import GoldenRun, Stream, padded, run_part

__all__ = ["SharedRuns"]

CAPACITY = 1 << 28


class _Kept(NamedTuple):
    """What a layer gave, and what it did for that."""

    stream: Stream
    states: dict[str, np.ndarray]
    activity: LayerActivity | None


class SharedRuns:
    """Runs networks, and keeps what their layers gave.

    A layer that is the same object as in an earlier network, and takes the same streams, is not
    run again. So of networks that differ in one layer, this one and those behind it are run.

    Parameters
    ----------
    schedule : Schedule
        Of one of the networks, which all fold alike: for the reads of weight memories.
    capacity : int
        Bytes of streams that are kept, those that were used last.
    """

    def __init__(self, schedule: Schedule, capacity: int = CAPACITY):
        self._schedule = schedule
        self._capacity = capacity
        self._layers: dict[int, IntegerLayer | StreamLayer] = {}  # alive, so that ids are unique
        self._kept: OrderedDict[tuple, _Kept] = OrderedDict()
        self._bytes = 0

    def run(
        self,
        network: IntegerNetwork,
        sequences: Sequence[np.ndarray],
        states: LoadedStates | None = None,
    ) -> tuple[GoldenRun, dict[str, LayerActivity]]:
        """What the golden model gives, without traces, and what each layer did for it.

        Runs that start from given states share nothing.
        """
        if states is not None:
            run = golden.run(network, sequences, states, trace=True)
            steps = [len(sequence) for sequence in sequences]
            return run, measure(network, run.traces, steps, self._schedule).layers
        keys: dict[str, tuple] = {}
        streams: dict[str, Stream] = {}
        for name, own in network.by_input(sequences).items():
            streams[name] = values, lengths = padded(network, own, name)
            digest = blake2b(values.tobytes(), digest_size=16)
            digest.update(lengths.tobytes())
            keys[name] = digest.digest(), values.shape
        finals, found = {}, {}
        for layer in network.layers:
            self._layers[id(layer)] = layer
            key = (id(layer), *(keys[source] for source in network.sources[layer.name]))
            kept = self._kept.pop(key, None) or self._run(network, layer, streams)
            self._kept[key] = kept
            keys[layer.name], streams[layer.name] = key, kept.stream
            if kept.states:
                finals[layer.name] = kept.states
            if kept.activity is not None:
                found[layer.name] = kept.activity
        self._forget()
        values, lengths = streams[network.layers[-1].name]
        outputs = [values[:length, place] for place, length in enumerate(lengths)]
        return GoldenRun(outputs, finals, {}), found

    def _run(
        self, network: IntegerNetwork, layer: IntegerLayer | StreamLayer, streams: dict[str, Stream]
    ) -> _Kept:
        stream, found = run_part(network, layer, streams, trace=True)
        self._bytes += stream[0].nbytes
        if found is None:
            return _Kept(stream, {}, None)
        assert found.trace is not None
        if isinstance(layer, IntegerAttention):
            folded = self._schedule.attention(layer.name)
            return _Kept(stream, {}, measure_attention(layer, found.trace, folded))
        assert isinstance(layer, IntegerLayer)
        steps = int(stream[1].sum())  # a cell gives as many timesteps as it takes
        activity = measure_layer(layer, found.trace, steps, self._schedule.of(layer.name))
        return _Kept(stream, found.states, activity)

    def _forget(self) -> None:
        while self._bytes > self._capacity and len(self._kept) > 1:
            _, kept = self._kept.popitem(last=False)
            self._bytes -= kept.stream[0].nbytes
