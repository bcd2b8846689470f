"""Integer networks with random weights, and the comparison of hardware with both its models."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cell import Cell, trace
from deltaloom.compiler.cells import Linear
from deltaloom.compiler.network import LastStep, Layer, Network, parameter_shapes
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.accelerator import Accelerator
from deltaloom.sim import cycles, golden, pysim, transactions
from deltaloom.sim.result import compare, stimulus_of
from deltaloom.sim.sequences import random_sequences, random_states
from deltaloom.sim.stimulus import Ports, random_stalls


def pytest_make_parametrize_id(val):
    """Cells by their class: every process that shares the tests has to call them the same."""
    if isinstance(val, Cell):
        return type(val).__name__
    if isinstance(val, tuple) and any(isinstance(part, Cell) for part in val):
        return " ".join(pytest_make_parametrize_id(part) or str(part) for part in val)
    return None


def random_layer(name, cell, rng, scale=1.5, sources=()):
    graph = trace(cell)
    parameters = {
        key: rng.normal(size=shape) * (scale / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)
        for key, shape in parameter_shapes(graph).items()
    }
    return Layer(name, type(cell).__name__, graph, parameters, sources)


def make_float_network(*cells, rng, scale=1.5):
    return Network(
        tuple(
            LastStep("last") if cell == "last" else random_layer(f"l.{index}", cell, rng, scale)
            for index, cell in enumerate(cells)
        )
    )


def make_network(*cells, recipe=None, seed=0, scale=1.5):
    """Quantized network of ``cells``; "last" among them selects the last step, layers are l.N."""
    rng = np.random.default_rng(seed)
    network = make_float_network(*cells, rng=rng, scale=scale)
    calibration = rng.normal(size=(4, 20, cells[0].input_size))
    return quantize(network, calibration, recipe or Recipe())


def make_attention(form, causal, *, inputs=3, size=5, values=7, max_steps=12, more=(), **options):
    """Attention ``att`` to projections ``q``, ``k`` and ``v`` of the input, and ``more`` layers."""
    seed, recipe = options.pop("seed", 0), options.pop("recipe", None) or Recipe()
    rng = np.random.default_rng(seed)
    projections = [
        replace(random_layer(name, Linear(inputs, width), rng, 3.0), sources=("input",))
        for name, width in (("q", size), ("k", size), ("v", values))
    ]
    energies = rng.normal(size=size) if form == "additive" else None
    attention = Attention(
        "att", form, causal, max_steps, energies=energies, sources=("q", "k", "v"), **options
    )
    network = Network((*projections, attention, *more))
    return quantize(network, rng.normal(size=(4, max_steps, inputs)), recipe)


def make_case(
    network,
    lanes,
    *,
    lengths=(5, 3, 1, 1, 2, 7),
    seed=0,
    stall=0.0,
    target=GENERIC,
    registers=False,
):
    """Sequences, what golden and cycle model make of them, and the stimulus for the hardware.

    With registers, some sequences start from random states and some leave theirs.
    """
    rng = np.random.default_rng(seed)
    folded = schedule(network, lanes, target, registers=registers)
    sequences = random_sequences(network, rng, tuple(lengths))
    lengths = [len(sequence) for sequence in sequences]
    batch = len(network.by_input(sequences)["input"])
    states = random_states(network, rng, batch) if registers else None
    run = golden.run(network, sequences, states, trace=True)
    waits = []
    if stall:
        counts = (sum(s.size for s in sequences), sum(o.size for o in run.outputs))
        waits = [random_stalls(rng, count, stall) for count in counts]
    requests = None
    if registers:
        read = rng.random(batch) < 0.6
        requests = transactions.plan(network, sequences, run, states, read)
    stimulus = stimulus_of(sequences, run.outputs, *waits)
    predicted = cycles.predict(
        network,
        folded,
        run.traces,
        lengths,
        gaps=stimulus.gaps,
        stalls=stimulus.stalls,
        states=states,
        transactions=requests,
    )
    if registers:
        requests = transactions.with_counters(requests, network, run, lengths, predicted.busy)
        stimulus = replace(stimulus, transactions=requests)
    return SimpleNamespace(
        network=network,
        schedule=folded,
        sequences=sequences,
        run=run,
        stimulus=stimulus,
        predicted=predicted,
    )


def build(case):
    """The accelerator of a case and its ports."""
    design = Accelerator(case.network, case.schedule)
    address_bits = len(design.s_axil_awaddr) if case.schedule.registers else 0
    return design, Ports(len(design.s_axis_tdata), len(design.m_axis_tdata), address_bits)


def check_case(case, simulator=None):
    """Raise MismatchError unless the hardware equals its models; returns the capture."""
    simulator = simulator or pysim.build(*build(case))
    capture = simulator.run(case.stimulus)
    compare(
        capture,
        case.run.outputs,
        case.predicted,
        simulator.name,
        transactions=case.stimulus.transactions,
    )
    return capture


@pytest.fixture(scope="session")
def integer_network():
    return make_network


@pytest.fixture(scope="session")
def float_network():
    """``float_network(*cells, seed=0)``: layers are l.N, as of the integer network."""

    def make(*cells, seed=0):
        return make_float_network(*cells, rng=np.random.default_rng(seed))

    return make


@pytest.fixture(scope="session")
def attention_network():
    return make_attention


@pytest.fixture(scope="session", name="random_layer")
def make_random_layer():
    """``random_layer(name, cell, sources=...)``: a float layer, the same for the same name."""

    def random_named_layer(name, cell, **options):
        return random_layer(name, cell, np.random.default_rng(list(name.encode())), **options)

    return random_named_layer


@pytest.fixture(scope="session")
def make_run():
    return make_case


@pytest.fixture(scope="session")
def prove():
    """``prove(network, lanes, ...)``: outputs, markers and cycles in pysim equal the models'.

    One simulator runs with each probability of ``stalls`` on both streams.
    """

    def prove(*arguments, stalls=(0.0,), **options):
        simulator = None
        for stall in stalls:
            case = make_case(*arguments, stall=stall, **options)
            simulator = simulator or pysim.build(*build(case))
            capture = check_case(case, simulator)
        return capture

    return prove


@pytest.fixture(scope="session")
def check_run():
    return check_case


@pytest.fixture(scope="session")
def build_design():
    return build
