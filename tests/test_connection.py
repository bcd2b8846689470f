"""Designs on a simulated board: every byte goes through its serial line."""

# amaranth: UnusedElaboratable=no

from dataclasses import replace

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.boards.host import Host
from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.network import Concatenate, Network

from .boards.line import Line


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).normal(size=(2, 3, 2)).cumsum(axis=1) * 0.4


@pytest.fixture(scope="module")
def design(clips):
    torch.manual_seed(0)
    model = dl.quantize(torch.nn.GRU(2, 3, batch_first=True), clips, dl.Recipe(skip="delta"))
    return dl.generate(model, "ulx3s_25f", 4, registers=True)


def line_of(design, **spoilers):
    ports = design.ports
    return Line(
        design.component(),
        input_bytes=ports.input_bits // 8,
        output_bytes=ports.output_bits // 8,
        address_bits=ports.address_bits,
        **spoilers,
    )


@pytest.fixture
def connection(design):
    return design.connect(line_of(design), timeout=1.0)


@pytest.mark.slow
def test_states_are_saved_and_restored(design, connection, clips):
    """Outputs, states and counters of the model; two parts give what the whole gives."""
    model = design.model
    whole = model.run(clips)
    first = connection.run(clips[:, :1], {})
    assert first.counters["gru.0.steps"] == 2
    connection.run(clips[::-1, :1], first.states)
    second = connection.run(clips[:, 1:], first.states)
    together = np.concatenate([first.integers, second.integers], axis=1)
    np.testing.assert_array_equal(together, whole.integers)
    np.testing.assert_array_equal(second.states["gru.0"]["h"], whole.states["gru.0"]["h"])
    np.testing.assert_array_equal(
        second.integer_states["gru.0"]["h"], whole.integer_states["gru.0"]["h"]
    )
    assert second.counters["gru.0.steps"] == 4
    assert second.counters["cycles"] > 0


def test_states_beyond_their_format(design, connection, clips):
    """They saturate and are counted; without states a sequence starts anew."""
    states, x = {"gru.0": {"h": np.array([[9e9, -0.25, 0.5]])}}, clips[:1, :1]
    run = connection.run(x, states)
    np.testing.assert_array_equal(run.outputs, design.model(x, states))
    assert run.saturated_states == {"gru.0": {"h": 1}}
    np.testing.assert_array_equal(connection(x), design.model(x))


@pytest.mark.slow
def test_ragged_sequences(design, connection, clips):
    ragged = [clips[0], clips[1][:1]]
    outputs = connection(ragged)
    for found, wanted in zip(outputs, design.model(ragged), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert connection.run(ragged).states == {}


def test_a_board_that_differs_is_found(design, connection, clips, monkeypatch):
    before = Host.run
    monkeypatch.setattr(Host, "run", lambda *a: [step ^ 1 for step in before(*a)])
    with pytest.raises(dl.MismatchError, match=r"^Board gave other outputs .* in sequence 0$"):
        connection.run(clips)


@pytest.mark.parametrize(
    ("register", "sentence"),
    [
        ("gru.0.h", r"^Board left another state gru.0.h than its model$"),
        ("gru.0.steps", r"^Board counted \d+ in gru.0.steps, its model \d+$"),
    ],
)
def test_states_and_counters_that_differ_are_found(
    design, connection, clips, monkeypatch, register, sentence
):
    before, wrong = Host.read, design.addresses.addresses[register]
    seen = []

    def read(host, address, count=1):
        seen.append(address)
        return before(host, address, count) + (address == wrong and len(seen) > 2)

    monkeypatch.setattr(Host, "read", read)
    with pytest.raises(dl.MismatchError, match=sentence):
        connection.run(clips[:1, :1], {})


def test_another_design_is_found(design, clips):
    other = dl.generate(design.model, "ulx3s_25f", 4)
    with pytest.raises(dl.DeltaloomError, match=r"^Board must hold this design, .* 6 address bits"):
        design.connect(line_of(other), timeout=1.0)
    plain = other.connect(line_of(other), timeout=1.0)
    run = plain.run(clips[:, :1])
    np.testing.assert_array_equal(run.outputs, design.model(clips[:, :1]))
    assert run.counters == run.states == {}
    with pytest.raises(dl.UnsupportedError, match="generate it with registers=True"):
        plain.run(clips, {})


def test_connection_needs_a_board(design):
    with pytest.raises(dl.UnsupportedError, match=r"^Connection needs a board"):
        dl.generate(design.model, lanes=4).connect("/dev/null")


@pytest.mark.slow
def test_pairs(random_layer):
    """A sequence of the memory goes before each of the input; states are those of both."""
    layers = (
        replace(random_layer("enc", GRU(3, 4)), sources=("memory",)),
        replace(random_layer("dec", GRU(2, 4)), sources=("input",)),
        Attention("att", "dot", False, 4, energies=None, sources=("dec", "enc", "enc")),
        Concatenate("both", sources=("dec", "att")),
        replace(random_layer("head", Linear(8, 3)), sources=("both",)),
    )
    rng = np.random.default_rng(1)
    memory, x = (rng.normal(size=(3, 4, size)) for size in (3, 2))
    model = dl.quantize(Network(layers), x, dl.Recipe(skip="delta"), memory=memory)
    design = dl.generate(model, "ulx3s_85f", 8, registers=True)
    connection = design.connect(line_of(design), timeout=1.0)
    lengths = [(4, 1), (1, 3)]
    memories = [sequence[:n] for sequence, (n, _) in zip(memory[:2], lengths, strict=True)]
    inputs = [sequence[:n] for sequence, (_, n) in zip(x[:2], lengths, strict=True)]
    states = {"dec": {"h": np.linspace(-0.9, 0.9, 8).reshape(2, 4)}}
    run = connection.run(inputs, states, memory=memories)
    wanted = model.run(inputs, states, memory=memories)
    for got, expected in zip(run.outputs, wanted.outputs, strict=True):
        np.testing.assert_array_equal(got, expected)
    for layer in ("enc", "dec"):
        np.testing.assert_array_equal(run.states[layer]["h"], wanted.states[layer]["h"])
    assert (run.counters["enc.steps"], run.counters["dec.steps"]) == (5, 4)
