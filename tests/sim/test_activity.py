# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

import deltaloom as dl
from deltaloom.compiler.cells import GRU, LSTM, Linear, ProjectedLSTM, ResetBeforeGRU
from deltaloom.compiler.recipe import Recipe
from deltaloom.hw import engine
from deltaloom.sim import pysim
from deltaloom.sim.activity import Share, measure

LENGTHS = (4, 1, 9)


@pytest.fixture(scope="module")
def case(integer_network, make_run):
    recipe = Recipe(skip="delta", theta={"l.0": {"x": 20, "h": 9}})
    network = integer_network(LSTM(3, 5), "last", Linear(5, 2), recipe=recipe)
    return make_run(network, 7, lengths=LENGTHS)


@pytest.fixture(scope="module")
def activity(case):
    total = int(case.predicted.delivered[-1]) + 1
    return measure(case.network, case.run.traces, LENGTHS, case.schedule, total)


def test_columns_and_operations_by_hand(case, activity):
    trace = case.run.traces["l.0"]
    lstm = activity.layers["l.0"]
    x, h = (int(trace.fired[name].sum()) for name in ("x", "h"))
    assert 0 < x < 3 * 14
    assert 0 < h < 5 * 14
    assert lstm.columns == {"x": Share(x, 3 * 14), "h": Share(h, 5 * 14)}
    assert lstm.together == Share(x + h, 8 * 14)
    assert lstm.operations == Share(20 * (x + h), 20 * 8 * 14)
    head = activity.layers["l.2"]  # runs once a sequence
    assert head.operations.total == 2 * 5 * 3
    assert activity.operations == lstm.operations + head.operations
    assert activity.operations.eliminated == pytest.approx(
        1 - (20 * (x + h) + head.operations.kept) / (20 * 8 * 14 + 30)
    )


def test_words_are_those_of_each_pass(case, activity):
    folded = case.schedule.of("l.0")
    fired = case.run.traces["l.0"].fired
    kept = sum(int(part.sum()) for part in fired.values())
    assert folded.passes > 1
    assert activity.layers["l.0"].words == Share(folded.passes * kept, folded.words * 14)


def test_cycles_are_the_models(case, activity):
    assert activity.cycles == (case.predicted.delivered[-1] + 1) / 14


def test_gates_that_do_not_read_an_operand_have_no_rows_for_it(integer_network, make_run):
    """A GRU's n has a half for x and one for h; reset-before multiplies r * h by itself."""
    case = make_run(integer_network(ResetBeforeGRU(3, 5)), 4, lengths=(2,))
    found = measure(case.network, case.run.traces, (2,)).layers["l.0"]
    assert found.operations.total == 2 * (15 * 3 + 10 * 5 + 5 * 5)
    assert found.words is None
    assert measure(case.network, case.run.traces, (2,)).cycles is None


@pytest.mark.parametrize("lanes", [1, 6, 40])
@pytest.mark.parametrize(
    "cell", [GRU(3, 5), LSTM(2, 7), ResetBeforeGRU(3, 4), ProjectedLSTM(3, 5, 2), Linear(4, 3)],
    ids=lambda cell: type(cell).__name__,
)  # fmt: skip
def test_words_are_what_the_sequencer_reads(
    integer_network, make_run, build_design, monkeypatch, cell, lanes
):
    """Tokens that name a real column, counted in the hardware."""
    found = []
    make = engine.Sequencer
    monkeypatch.setattr(engine, "Sequencer", lambda s: found.append(make(s)) or found[-1])
    network = integer_network(cell, recipe=Recipe(skip="delta", theta=12))
    case = make_run(network, lanes, lengths=(5, 1, 6))
    simulator = pysim.build(*build_design(case))
    reads = 0

    async def watch(ctx):
        nonlocal reads
        while True:
            _, reset, token = await ctx.tick().sample(found[-1].token)
            reads += int(token.valid and token.real)

    simulator._engine.add_testbench(watch, background=True)
    simulator.run(case.stimulus)
    activity = measure(network, case.run.traces, (5, 1, 6), case.schedule)
    assert 0 < reads < activity.words.total
    assert activity.words.kept == reads


def test_of_a_model_and_of_a_run(make_model, inputs):
    model = make_model(dl.Recipe(skip="delta", theta=6))
    design = dl.generate(model, lanes=5)
    run = design.simulate(inputs, "model")
    assert model.activity(inputs, lanes=5) == run.activity
    assert model.activity(inputs, lanes=6).cycles < run.activity.cycles
    for name, operands in run.skipped.items():
        for operand, share in operands.items():
            assert run.activity.layers[name].columns[operand].eliminated == pytest.approx(share)
    found = run.activity.to_dict()
    assert found["operations_eliminated"] == run.activity.operations.eliminated > 0
    assert found["temporal_sparsity"]["together"] == run.activity.together.eliminated
    assert set(found["layers"]["gru.0"]["temporal_sparsity"]) == {"x", "h", "together"}
    assert found["cycles_a_timestep"] == run.activity.cycles


def test_nothing_is_eliminated_without_skipping(make_model, inputs):
    """But for the zero state that a sequence begins with."""
    activity = make_model(dl.Recipe()).activity(inputs)
    assert activity.layers["gru.0"].columns["x"].eliminated == 0
    steps = inputs.shape[0] * inputs.shape[1]
    lost = activity.layers["gru.0"].columns["h"].eliminated
    assert lost == pytest.approx(inputs.shape[0] / steps)


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).normal(size=(3, 11, 4)).cumsum(axis=1)


@pytest.fixture(scope="module")
def make_model(inputs):
    import torch

    torch.manual_seed(0)
    gru = torch.nn.GRU(4, 6, batch_first=True)
    return lambda recipe: dl.quantize(gru, inputs, recipe)
