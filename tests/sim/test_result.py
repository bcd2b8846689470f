from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.errors import MismatchError
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim.result import compare, stimulus_of, summarize, useful_products
from deltaloom.sim.stimulus import Capture


@pytest.fixture(scope="module")
def case(integer_network, make_run):
    network = integer_network(LSTM(3, 5), "last", Linear(5, 2), recipe=Recipe(skip="delta"))
    return make_run(network, 12, lengths=(4, 1, 6))


def perfect(case):
    """What hardware without a fault would do."""
    data = np.concatenate([output.ravel() for output in case.run.outputs])
    size = case.network.output_size
    user = np.arange(len(data)) % size == size - 1
    ends = np.cumsum([output.size for output in case.run.outputs]) - 1
    last = np.isin(np.arange(len(data)), ends)
    return Capture(data, last, user, case.predicted.accepted, case.predicted.delivered, 0)


def test_stimulus_is_the_sequences_in_order(case):
    stimulus = stimulus_of(case.sequences, case.run.outputs)
    assert stimulus.data.tolist() == [v for s in case.sequences for step in s for v in step]
    assert np.flatnonzero(stimulus.last).tolist() == [4 * 3 - 1, 5 * 3 - 1, 11 * 3 - 1]
    assert stimulus.outputs == 3 * 2


def test_equal_is_equal(case):
    compare(perfect(case), case.run.outputs, case.predicted, "pysim")


@pytest.mark.parametrize(
    ("field", "place", "sentence"),
    [
        ("data", 3, "value of output element 3"),
        ("last", 1, "end of sequence at output element 1"),
        ("user", 0, "end of timestep at output element 0"),
        ("accepted", 7, "cycle of input element 7"),
        ("delivered", 5, "cycle of output element 5"),
    ],
)
def test_every_difference_is_named(case, field, place, sentence):
    right = perfect(case)
    values = getattr(right, field).copy()
    values[place] = values[place] ^ 1
    wrong = replace(right, **{field: values})
    want = f"^Hardware in cxxrtl differs from its model in 1 of {len(values)}: {sentence} is "
    with pytest.raises(MismatchError, match=want):
        compare(wrong, case.run.outputs, case.predicted, "cxxrtl")


def test_every_bit_of_every_value_counts(case):
    right = perfect(case)
    for place in range(len(right.data)):
        for bit in range(16):
            data = right.data.copy()
            data[place] ^= 1 << bit
            with pytest.raises(MismatchError):
                compare(replace(right, data=data), case.run.outputs, case.predicted, "pysim")


def test_useful_products_by_hand(case):
    """Each fired column of an LSTM meets four gates of five units."""
    layer, trace = case.network.computing[0], case.run.traces["l.0"]
    want = []
    for sequence, length in enumerate((4, 1, 6)):
        for step in range(length):
            fired = sum(trace.fired[name][sequence, step].sum() for name in ("x", "h"))
            want.append(4 * 5 * fired)
    assert useful_products(layer, trace, [4, 1, 6]).tolist() == want


def test_summary(case):
    used, skipped = summarize(
        case.network, case.schedule, case.run.traces, [4, 1, 6], case.predicted
    )
    assert list(used) == list(skipped) == ["l.0", "l.2"]
    for name, trace in case.run.traces.items():
        steps = {"l.0": 11, "l.2": 3}[name]
        for operand, fired in trace.fired.items():
            share = fired.sum() / (steps * fired.shape[2])
            assert skipped[name][operand] == pytest.approx(1 - share)


def test_dense_lanes_are_all_in_use(integer_network, make_run):
    """32 rows of 16 columns on 8 lanes that divide them: no lane idles in steady state."""
    case = make_run(integer_network(LSTM(8, 8)), 8, lengths=(40,))
    used, skipped = summarize(case.network, case.schedule, case.run.traces, [40], case.predicted)
    assert used["l.0"] == 1.0
    assert skipped["l.0"]["x"] == 0
    assert skipped["l.0"]["h"] == pytest.approx(1 / 40)  # the first step's state is zero


def test_one_timestep_has_no_second_half(integer_network, make_run):
    case = make_run(integer_network(GRU(2, 3)), 3, lengths=(1,))
    used, _ = summarize(case.network, case.schedule, case.run.traces, [1], case.predicted)
    assert np.isnan(used["l.0"])
