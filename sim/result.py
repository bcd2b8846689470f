"""What a simulation of a network says, in the network's own terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.errors import MismatchError
from ..compiler.integer import IntegerLayer
from ..compiler.integer_attention import IntegerAttention
from ..compiler.integer_network import IntegerNetwork
from ..compiler.schedule import Schedule
from .activity import Activity, measure, queries_of, rows_of, uses_of
from .cycles import CycleRun
from .layer_golden import LayerTrace
from .stimulus import Capture, Stimulus
from .transactions import Transactions

__all__ = ["Run", "compare", "stimulus_of", "summarize", "useful_products"]


@dataclass(frozen=True)
class Run:
    """A simulation whose every output bit and cycle equals the golden and the cycle model.

    Parameters
    ----------
    outputs, integers : numpy.ndarray or list of numpy.ndarray
        As ``qmodel(x)`` and ``qmodel.integer(x)`` give them.
    cycles : numpy.ndarray
        Int64 (batch,): clock cycles from a sequence's first accepted element to its last output
        element; of a pair, from the first element of its memory.
    step_cycles : numpy.ndarray or list of numpy.ndarray
        Int64 (batch, time): the cycle, from reset, in which each output timestep's last element
        left; a list of (time,) for sequences of different lengths.
    utilization : dict of str to float
        By layer: useful multiply-accumulates / (lanes * cycles), over the second half of the run.
    skipped : dict of str to dict of str to float
        By layer and operand: share of columns skipped.
    activity : Activity
        Columns, operations and reads of weight memories that were kept, of all timesteps.
    saturated : dict of str to dict of str to int
        By layer and rounding: values that its format cut off, where there are any.
    states, integer_states : dict of str to dict of str to numpy.ndarray
        By layer and state, (batch, size): what each sequence leaves, as real numbers and as
        integers. Where states were given, the hardware's registers said the same.
    simulator : str
        What ran.
    total_cycles : int
        Clock cycles from reset to the last output element.
    """

    outputs: Any
    integers: Any
    cycles: np.ndarray
    step_cycles: Any
    utilization: dict[str, float]
    skipped: dict[str, dict[str, float]]
    activity: Activity
    saturated: dict[str, dict[str, int]]
    states: dict[str, dict[str, np.ndarray]]
    integer_states: dict[str, dict[str, np.ndarray]]
    simulator: str
    total_cycles: int


def stimulus_of(
    sequences: list[np.ndarray],
    outputs: list[np.ndarray],
    gaps: np.ndarray | None = None,
    stalls: np.ndarray | None = None,
    transactions: Transactions | None = None,
) -> Stimulus:
    """Sequences, each (time, features), one after the other on the input stream."""
    data = np.concatenate([sequence.ravel() for sequence in sequences])
    last = np.zeros(len(data), dtype=bool)
    last[np.cumsum([sequence.size for sequence in sequences]) - 1] = True
    beats = sum(values.size for values in outputs)
    return Stimulus(data, last, beats, gaps, stalls, transactions=transactions)


def markers(outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Markers of the output stream: end of sequence, end of timestep."""
    features = outputs[0].shape[1]
    total = sum(values.size for values in outputs)
    user = np.arange(total) % features == features - 1
    last = np.zeros(total, dtype=bool)
    last[np.cumsum([values.size for values in outputs]) - 1] = True
    return last, user


def compare(
    capture: Capture,
    outputs: list[np.ndarray],
    predicted: CycleRun,
    simulator: str,
    transactions: Transactions | None = None,
) -> None:
    """Raise MismatchError unless a capture equals the model in bits, markers and cycles."""
    last, user = markers(outputs)
    expected = {
        "data": np.concatenate([values.ravel() for values in outputs]),
        "last": last,
        "user": user,
        "accepted": predicted.accepted,
        "delivered": predicted.delivered,
    }
    if transactions is not None:
        expected |= {"read": transactions.answers, "answered": predicted.answered}
    names = {
        "data": "value of output element",
        "last": "end of sequence at output element",
        "user": "end of timestep at output element",
        "accepted": "cycle of input element",
        "delivered": "cycle of output element",
        "read": "answer to register access",
        "answered": "cycle of the answer to register access",
    }
    for name, want in expected.items():
        got = getattr(capture, name)
        wrong = np.flatnonzero(got != want)
        if len(wrong):
            at = int(wrong[0])
            raise MismatchError(
                f"Hardware in {simulator} differs from its model in {len(wrong)} of {len(want)}: "
                f"{names[name]} {at} is {int(got[at])}, not {int(want[at])}"
            )


def useful_products(layer: IntegerLayer, trace: LayerTrace, lengths: Sequence[int]) -> np.ndarray:
    """Multiply-accumulates that a layer's lists ask for in each timestep, in stream order."""
    counts = []
    for operand in layer.operands:
        rows = rows_of(layer, operand)
        fired = (trace.fired[operand.name] * uses_of(operand)).sum(axis=2) * rows
        counts.append(np.concatenate([fired[n, :length] for n, length in enumerate(lengths)]))
    return np.sum(counts, axis=0)


def attention_products(layer: IntegerAttention, trace: LayerTrace) -> np.ndarray:
    """The same of attention, whose queries meet more and more keys."""
    asked, weighed, met = queries_of(trace)
    return asked * met + weighed * layer.value_size


def utilization(useful: np.ndarray, lanes: int, released: np.ndarray) -> float:
    """Share of the lanes' cycles that multiply something useful, over the second half of a run."""
    half = len(released) // 2
    if not half:
        return float("nan")
    return float(useful[half:].sum() / (lanes * (released[-1] - released[half - 1])))


def summarize(
    network: IntegerNetwork,
    schedule: Schedule,
    traces: dict[str, LayerTrace],
    lengths: list[int],
    predicted: CycleRun,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Utilization by layer, and the share of columns skipped by layer and operand."""
    used = {}
    for layer in network.multiplying:
        trace = traces[layer.name]
        if isinstance(layer, IntegerAttention):
            useful = attention_products(layer, trace)
        else:
            useful = useful_products(layer, trace, network.steps(layer, lengths))
        lanes = schedule.lanes_of(layer.name)
        used[layer.name] = utilization(useful, lanes, predicted.released[layer.name])
    activity = measure(network, traces, lengths)
    skipped = {
        name: {operand: share.eliminated for operand, share in layer.columns.items()}
        for name, layer in activity.layers.items()
    }
    return used, skipped
