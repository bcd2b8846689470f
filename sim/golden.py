"""The golden model: what every bit of the hardware has to be. NumPy alone.

Vectorised over the batch. Integer matrix products go through floating-point BLAS in the narrowest
type that holds the proven bound of every partial sum exactly; all else is integer arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.states import LoadedStates
from ..compiler.streams import StreamLayer
from ..compiler.wiring import INPUT
from .attention_golden import run_attention
from .layer_golden import LayerRun, LayerTrace, run_layer
from .stream_golden import run_stream_layer

__all__ = ["GoldenRun", "Stream", "padded", "run", "run_part"]

Array = np.ndarray
Stream = tuple[Array, Array]
"""Values, int64 (time, batch, features), and the timesteps of each sequence, (batch,)."""


@dataclass(frozen=True)
class GoldenRun:
    """Outputs and final states of a network, and traces of its layers if they were asked for.

    Parameters
    ----------
    outputs : list of numpy.ndarray
        For each sequence int64 (time, features); time is 1 where a layer gives one vector a
        sequence.
    states : dict of str to dict of str to numpy.ndarray
        By layer and state, int64 (batch, size): what each sequence's last timestep leaves.
    traces : dict of str to LayerTrace
        By layer name.
    """

    outputs: list[Array]
    states: dict[str, dict[str, Array]]
    traces: dict[str, LayerTrace]


def run(
    network: IntegerNetwork,
    sequences: Sequence[Array],
    states: LoadedStates | None = None,
    *,
    trace: bool = False,
) -> GoldenRun:
    """Run integer sequences, each (time, features), through every layer.

    Where there is a memory, they are in turn one of it and one of the input.

    A state that a sequence is given counts exactly, whatever the threshold: its products are
    summed in the first timestep.
    """
    traces = {}
    finals = {}
    streams = {
        name: padded(network, own, name) for name, own in network.by_input(sequences).items()
    }
    for layer in network.layers:
        streams[layer.name], found = run_part(network, layer, streams, states, trace=trace)
        if found is not None and found.states:
            finals[layer.name] = found.states
        if found is not None and found.trace is not None:
            traces[layer.name] = found.trace
    values, lengths = streams[network.layers[-1].name]
    outputs = [values[:length, place] for place, length in enumerate(lengths)]
    return GoldenRun(outputs, finals, traces)


def padded(network: IntegerNetwork, sequences: Sequence[Array], name: str = INPUT) -> Stream:
    """An input of a network, checked."""
    taken = network.inputs[name]
    taken.check(sequences)
    lengths = np.array([len(sequence) for sequence in sequences])
    values = np.zeros((lengths.max(), len(lengths), taken.size), dtype=np.int64)
    for place, sequence in enumerate(sequences):
        values[: lengths[place], place] = sequence
    return values, lengths


def run_part(
    network: IntegerNetwork,
    layer: IntegerLayer | StreamLayer,
    streams: Mapping[str, Stream],
    states: LoadedStates | None = None,
    *,
    trace: bool = False,
) -> tuple[Stream, LayerRun | None]:
    """What a layer of a network makes of the streams that it takes, and its run if it computes."""
    sources = network.sources[layer.name]
    values, lengths = streams[sources[0]]
    if isinstance(layer, IntegerLayer):
        found = run_layer(layer, values, lengths, states, trace=trace)
        return (found.outputs, lengths), found
    if isinstance(layer, IntegerAttention):
        given = [streams[source] for source in sources]
        outputs, fired, cut = run_attention(
            layer, [v for v, _ in given], [n for _, n in given], trace=trace
        )
        attended = LayerTrace(fired, {"output": cut}) if trace else None
        return (outputs, lengths), LayerRun(outputs, {}, attended)
    formats = [network.formats[source] for source in sources]
    taken = [streams[source][0] for source in sources]
    return run_stream_layer(layer, taken, formats, lengths), None
