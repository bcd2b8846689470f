"""The cycle model against the hardware; and faults in the hardware, which have to be noticed."""

# amaranth: UnusedElaboratable=no

import inspect
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cell import Cell
from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    LayerNormLSTM,
    Linear,
    ProjectedLSTM,
    ReluRNN,
    ResetBeforeGRU,
)
from deltaloom.compiler.errors import MismatchError
from deltaloom.compiler.layer_norm import layer_norm
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.stage_schedule import StageSchedule
from deltaloom.hw import gate_operations, gates, weights
from deltaloom.hw.accelerator import Accelerator
from deltaloom.hw.drain import Drain
from deltaloom.hw.encoder import Encoder
from deltaloom.hw.engine import Engine
from deltaloom.hw.gates import GatePipeline
from deltaloom.hw.lanes import Lane
from deltaloom.hw.last_step import LastStep
from deltaloom.hw.receiver import Receiver
from deltaloom.hw.rescale import Rescale
from deltaloom.hw.reservation import Reservation
from deltaloom.hw.sequencer import Sequencer
from deltaloom.hw.stage_pipelines import connect_crossing, connect_pass, keep_input
from deltaloom.sim import cycles


class NormedLinear(Cell):
    """Waits for nothing, so its passes over vectors are as close as they may be."""

    def step(self, x):
        return layer_norm([self.affine("y", x)], self.constant, "norm")[0]


MODES = {
    "none": Recipe(),
    "zero": Recipe(skip="zero"),
    "delta": Recipe(skip="delta"),
    "theta": Recipe(skip="delta", theta=9),
}
# Cells and lanes where control is at its limits: one block, one entry, one unit, many folds.
AWKWARD = [
    ([LSTM(1, 1)], 4),
    ([LSTM(1, 1)], 1),
    ([LSTM(1, 9)], 4),
    ([LSTM(2, 4)], 8),
    ([LSTM(3, 7)], 28),
    ([LSTM(3, 5)], 3),
    ([GRU(2, 3)], 7),
    ([GRU(5, 11)], 12),
    ([GRU(1, 2)], 1),
    ([RNN(1, 2)], 1),
    ([RNN(3, 11)], 11),
    ([ReluRNN(3, 5)], 4),
    ([Linear(1, 1)], 1),
    ([Linear(1, 9)], 9),
    ([ResetBeforeGRU(1, 1)], 1),
    ([ResetBeforeGRU(3, 17)], 13),
    ([ProjectedLSTM(3, 5, 1)], 4),
    ([ProjectedLSTM(1, 2, 9)], 6),
    ([SRU(1, 1)], 1),
    ([LayerNormLSTM(1, 1)], 1),
    ([LayerNormLSTM(2, 9, "mad")], 13),
    ([SRU(11, 11)], 33),
    ([SRU(4, 4), SRU(4, 3, "tanh")], 5),
    ([GRU(3, 5), Linear(5, 2)], 5),
    ([Linear(2, 9), RNN(9, 1), Linear(1, 6)], 4),
]


@pytest.mark.parametrize(
    "mode", ["none", pytest.param("zero", marks=pytest.mark.slow), "delta", "theta"]
)
@pytest.mark.parametrize("number", range(len(AWKWARD)))
def test_equals_the_hardware(prove, integer_network, number, mode):
    cells, lanes = AWKWARD[number]
    network = integer_network(*cells, recipe=MODES[mode], seed=number)
    lanes = {"l.0": lanes} if len(cells) == 1 else lanes
    prove(network, lanes, lengths=(4, 1, 1, 3), stalls=(0.0, 0.5), seed=number)


def test_a_slow_sink_holds_up_every_layer(prove, integer_network):
    network = integer_network(Linear(2, 6), GRU(6, 5), Linear(5, 4), recipe=MODES["delta"])
    prove(network, 30, lengths=(20,), stalls=(0.9,))


def test_gaps_alone_and_stalls_alone(check_run, make_run, integer_network):
    network = integer_network(LSTM(3, 5), recipe=MODES["zero"])
    case = make_run(network, 7, stall=0.6)
    traces, lengths = case.run.traces, [len(s) for s in case.sequences]
    for kept in ("gaps", "stalls"):
        waits = {"gaps": None, "stalls": None} | {kept: getattr(case.stimulus, kept)}
        case.predicted = cycles.predict(network, case.schedule, traces, lengths, **waits)
        stimulus = case.stimulus
        case.stimulus = replace(stimulus, **waits)
        check_run(case)
        case.stimulus = stimulus


def test_released_is_the_pace_of_the_lanes(make_run, integer_network):
    """Dense, in steady state: a timestep takes its passes times its columns."""
    case = make_run(integer_network(LSTM(16, 16)), 8, lengths=(30,))
    (folded,) = case.schedule.layers
    steps = np.diff(case.predicted.released["l.0"][5:])
    assert (steps == folded.passes * folded.columns).all()


# Faults. Each is seeded in the hardware alone; the designs below must tell it from the model.


def in_source(method, old, new, *, user=None):
    """A fault that replaces a piece of a method's text, or of a function that ``user`` calls."""

    def seed(patch):
        owner = method.__globals__[method.__qualname__.split(".")[0]]
        if owner is method:
            owner = sys.modules[(user or method).__module__]
        source = textwrap.dedent(inspect.getsource(method))
        assert source.count(old) == 1, f"{method.__qualname__} must have {old!r} once"
        scope = dict(method.__globals__)
        exec(source.replace(old, new), scope)
        patch.setattr(owner, method.__name__, scope[method.__name__])

    return seed


def afterwards(method, statement):
    """A fault that overrules what a method has stated: ``statement(self, m)``."""

    def seed(patch):
        owner = method.__globals__[method.__qualname__.split(".")[0]]

        def faulty(self, m, *arguments, **options):
            result = method(self, m, *arguments, **options)
            m.d.comb += statement(self, m)
            return result

        patch.setattr(owner, method.__name__, faulty)

    return seed


def stuck(name, value=0):
    """A field of the sequencer's token that is always the same."""
    return afterwards(Sequencer._drive_token, lambda self, m: getattr(self.token, name).eq(value))


def in_schedule(change):
    """Hardware that is made from another schedule of each layer than the model."""

    def seed(patch):
        make = Accelerator.__init__

        def other(self, network, schedule):
            make(self, network, replace(schedule, layers=tuple(map(change, schedule.layers))))

        patch.setattr(Accelerator, "__init__", other)

    return seed


def one_bank(layer):
    return replace(layer, stages=tuple(replace(s, drain_banks=1) for s in layer.stages))


def weight_bit(patch):
    words = weights.weight_words

    def flipped(schedule):
        found = words(schedule)
        found[len(found) // 2, 0] ^= 1
        return found

    patch.setattr(weights, "weight_words", flipped)


def no_half(patch):
    table = gates.bias_table

    def plain(schedule):
        return {name: schedule.layer.biases[name] for name in table(schedule)}

    patch.setattr(gates, "bias_table", plain)


def other_theta(patch):
    make = Encoder.__init__

    def other(self, operand, *arguments, **options):
        make(self, replace(operand, theta=max(operand.theta, 1) + 1), *arguments, **options)

    patch.setattr(Encoder, "__init__", other)


def shallow_queue(patch):
    depth = StageSchedule.output_depth.fget
    patch.setattr(StageSchedule, "output_depth", property(lambda self: depth(self) // 2))


FAULTS = {
    "weight bit": weight_bit,
    "rounding constant": no_half,
    "other theta": other_theta,
    "no x-ahead": in_schedule(lambda layer: replace(layer, x_ahead=False)),
    "a drain bank less": in_schedule(one_bank),
    "never zero": stuck("zero"),
    "never load": stuck("load"),
    "always load": stuck("load", 1),
    "never store": stuck("store"),
    "always fresh": stuck("fresh", 1),
    "never fresh": stuck("fresh"),
    "never last": stuck("last"),
    "always real": stuck("real", 1),
    "one buffer": stuck("buffer"),
    "state as input": stuck("state"),
    "no bubble": in_source(Sequencer._next_pass, "self._bubble.eq(", "self._bubble.eq(0 & "),
    "always a bubble": in_source(Sequencer._next_pass, "self._bubble.eq(", "self._bubble.eq(1 | "),
    "hat written without keep": in_source(Encoder._choose, "with m.If(keep):", "with m.If(1):"),
    "threshold above": in_source(Encoder._choose, "difference >= theta", "difference > theta"),
    "threshold below": in_source(Encoder._choose, "difference <= -theta", "difference < -theta"),
    "hat survives a sequence": in_source(
        Encoder._read_hat, "with m.If(~self.fresh):", "with m.If(1):"
    ),
    "list not begun anew": in_source(Encoder.elaborate, "place.eq(0)", "place.eq(place)"),
    "room too early": in_source(
        Reservation.elaborate,
        "(newest + 1 if banks > 1 else 1)",
        "(newest + 2 if banks > 1 else 2)",
    ),
    "room too late": in_source(
        Reservation.elaborate, "(newest + 1 if banks > 1 else 1)", "(newest if banks > 1 else 0)"
    ),
    "credit lost": in_source(Reservation.elaborate, "credit + self.popped", "credit"),
    "credit off by one": in_source(Reservation.elaborate, "init=depth", "init=depth - 1"),
    "credit too large": in_source(
        Reservation.elaborate,
        "range(depth + 1), init=depth",
        "range(depth + 2), init=depth + 1",
    ),
    "tail as a full block": in_source(
        Reservation.elaborate, "Mux(self.tail, tail + pause, full)", "full"
    ),
    "third list": in_source(Receiver.elaborate, "held != 2", "held != 3"),
    "no pause": in_source(Receiver.elaborate, "pause.eq(self._pause)", "pause.eq(0)"),
    "pause too long": in_source(
        Receiver.elaborate, "pause.eq(pause - 1)", "pause.eq((pause - 1) | (pause == 1))"
    ),
    "first never ends": in_source(
        Receiver.elaborate, "first.eq(self.i.payload.last)", "first.eq(first)"
    ),
    "tail ignored": in_source(Drain.elaborate, "| (self.bias_unit == tail)", ""),
    "one bank read": in_source(Drain.elaborate, "empty.eq(empty ^ emptied)", "empty.eq(0)"),
    "no rounding": in_source(
        Rescale.elaborate, "value = self.i + self._half if self._half else self.i", "value = self.i"
    ),
    "no saturation": in_source(
        Rescale.elaborate, "Mux(below, target.min, Mux(above, target.max, wide))", "wide"
    ),
    "wrong second sum": in_source(Lane.elaborate, "Mux(self.second, starts[0], total)", "total"),
    "state at a first step": in_source(
        GatePipeline._read_state, "flags_at[time][0]", "flags_at[time][2]"
    ),
    "state listed at the end": in_source(Engine._connect_operand, "~last if state", "1 if state"),
    "computed operand not listed at the end": in_source(
        Engine._connect_operand, "~last if state else 1", "~last"
    ),
    "no pause after a timestep": in_source(
        Drain.elaborate, "wait.eq(schedule.pause)", "wait.eq(0)"
    ),
    "input kept too short": in_source(keep_input, "place + gates", "place + 1 + gates"),
    "pass begun early": in_source(
        connect_pass, "time = before.end_time", "time = before.end_time - 1"
    ),
    "scalars of the next timestep": in_source(
        connect_pass, "delayed(m, held, units.latency - 1", "delayed(m, held, 0"
    ),
    "sums that go on": in_source(gate_operations.running_sum, "Mux(unit == 0, 0, total)", "total"),
    "one stage": stuck("stage"),
    "columns of another stage": in_source(
        Engine._choose_entry, "layer.operands[0].size if stage.walks_input else 0", "0"
    ),
    "crossing state at a first step": in_source(
        connect_crossing,
        "~reader.flags_at[time][0] if crossing.held else 1",
        "1",
        user=Engine,
    ),
    "kept sums dropped after running ahead": in_source(
        Sequencer._drive_token, "first & zero if", "first if"
    ),
    "last step not dropped": in_source(LastStep.elaborate, "self.i.valid & last", "self.i.valid"),
}

VICTIMS = {
    "folds": ([LSTM(2, 5)], {"l.0": 6}, Recipe(skip="delta", theta=5)),
    "blocks": ([LSTM(1, 3)], {"l.0": 4}, Recipe(skip="delta")),
    "two banks": ([GRU(3, 17)], {"l.0": 18}, Recipe(skip="delta")),
    "one entry": ([RNN(1, 2)], {"l.0": 1}, Recipe(skip="delta")),
    "two sums": ([GRU(3, 4), "last", Linear(4, 2)], {"l.0": 3, "l.2": 1}, Recipe(skip="zero")),
    "wide output": ([Linear(1, 40)], {"l.0": 20}, Recipe()),
    "no list to wait for": ([SRU(6, 6)], {"l.0": 18}, Recipe(skip="zero")),
    "two stages": ([ResetBeforeGRU(2, 5)], {"l.0": 3}, Recipe(skip="delta", theta=3)),
    "normalised": ([LayerNormLSTM(2, 3)], {"l.0": 24}, Recipe(skip="delta")),
    "normalised at once": ([NormedLinear(2, 24)], {"l.0": 24}, Recipe()),
    "projection": ([ProjectedLSTM(2, 3, 4)], {"l.0": 5}, Recipe(skip="delta")),
}


@pytest.fixture(scope="module")
def victims(integer_network, make_run):
    return [
        make_run(
            integer_network(*cells, recipe=recipe, seed=1),
            lanes,
            lengths=(6, 1, 1, 4) * (3 if name == "one entry" else 1),
            seed=1,
            stall=stall,
        )
        for name, (cells, lanes, recipe) in VICTIMS.items()
        for stall in (0.0, 0.7)
    ]


def test_victims_are_sound(victims, check_run):
    for case in victims:
        check_run(case)


@pytest.mark.parametrize("name", FAULTS)
def test_seeded_faults_are_caught(victims, check_run, monkeypatch, name):
    """By a wrong bit, marker or cycle, or because the design hangs or breaks the stream's rules."""
    FAULTS[name](monkeypatch)
    for case in victims:
        case.stimulus = replace(case.stimulus, limit=400)
        try:
            check_run(case)
        except MismatchError:
            return
    pytest.fail("the fault was not noticed")
