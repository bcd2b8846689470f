"""Pairs of sequences in hardware: where they go, and that both models say what becomes of them."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.inputs import NetworkInput
from deltaloom.compiler.network import (
    Concatenate,
    LastStep,
    Layer,
    Network,
    Reverse,
    Sum,
    parameter_shapes,
)
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.hw.pair_entrance import PairEntrance

MEMORY = NetworkInput("memory", Format(6, 2), 3, None, 1, 2)
INPUT = NetworkInput("input", Format(4, 0), 2, None, 1, None)
STEPS = 6  # of the calibration, and of the longest memory
LENGTHS = (5, 1, 1, 12, 2, 3)


def cell(name, kind, source, seed):
    rng = np.random.default_rng(seed)
    graph = trace(kind)
    parameters = {
        key: rng.normal(size=shape) * (1.5 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)
        for key, shape in parameter_shapes(graph).items()
    }
    return Layer(name, type(kind).__name__, graph, parameters, (source,))


def quantized(*layers, inputs, recipe=None, steps=STEPS):
    network = Network(layers)
    rng = np.random.default_rng(0)
    memory, x = (rng.normal(size=(4, steps, size)) for size in inputs)
    return quantize(network, x, recipe or Recipe(skip="delta"), memory=memory)


def translator(*, inputs=(3, 2), size=5, form="dot", steps=STEPS, recipe=None):
    energies = np.linspace(-1, 1, size) if form == "additive" else None
    return quantized(
        cell("enc", GRU(inputs[0], size), "memory", 1),
        cell("dec", LSTM(inputs[1], size), "input", 2),
        Attention("att", form, False, steps, energies=energies, sources=("dec", "enc", "enc")),
        Concatenate("both", sources=("dec", "att")),
        cell("head", Linear(2 * size, 3), "both", 3),
        inputs=inputs,
        recipe=recipe,
        steps=steps,
    )


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_sends_sequences_in_turn(streams, stall):
    """Of two timesteps and three; of three, which is cut to two, so that its rest is an input."""
    ends = [6, 12, 15, 17]
    fed = [{"value": place - 8, "last": int(place + 1 in ends)} for place in range(17)]
    dut = PairEntrance((MEMORY, INPUT), 8)
    memory, x = streams(dut, [(dut.i, fed)], [dut.o_memory, dut.o_input], stall=stall)
    assert [beat["value"] for beat in memory] == [-8, -7, -6, -5, -4, -3, 4, 5, 6]
    assert [beat["last"] for beat in memory] == [0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert [beat["end"] for beat in memory] == [0, 0, 1] * 3
    assert [beat["value"] for beat in x] == [-2, -1, 0, 1, 2, 3, 7, -8]
    assert [beat["last"] for beat in x] == [0, 0, 0, 0, 0, 1, 0, 1]


def test_a_memory_that_is_too_long_is_cut(streams):
    """Three timesteps where there is room for two: the third begins a sequence of the input."""
    fed = [{"value": 0, "last": int(place == 9)} for place in range(10)]
    dut = PairEntrance((MEMORY, INPUT), 8)
    memory, x = streams(dut, [(dut.i, fed)], [dut.o_memory, dut.o_input])
    assert len(memory) == 6
    assert len(x) == 4


CASES = {
    "dot": ({}, 8),
    "additive": ({"form": "additive"}, 7),
    "vectors of one": ({"inputs": (1, 1), "size": 1}, 5),
    "one lane each": ({"inputs": (2, 7), "size": 3}, 4),
    "memories of one timestep": ({"steps": 1}, 9),
    "wide": ({"recipe": Recipe(activations="int16", weights="int16")}, 8),
    "zeros": ({"recipe": Recipe(skip="zero"), "form": "additive", "size": 2}, 11),
}


@pytest.mark.parametrize(
    "name",
    [name if name == "dot" else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_cases(prove, name):
    options, lanes = CASES[name]
    prove(translator(**options), lanes, lengths=LENGTHS, stalls=(0.0, 0.4))


def bidirectional():
    """Keys and values by different ways, one of which has to see all of the memory."""
    return quantized(
        Reverse("back", STEPS, sources=("memory",)),
        cell("b", GRU(3, 4), "back", 1),
        Reverse("turned", STEPS, sources=("b",)),
        cell("f", Linear(3, 4), "memory", 2),
        cell("dec", GRU(2, 4), "input", 3),
        Attention("att", "dot", False, STEPS, sources=("dec", "f", "turned")),
        inputs=(3, 2),
    )


def chained():
    """Two attentions to one memory, the second with what the first one gives."""
    return quantized(
        cell("enc", GRU(3, 4), "memory", 1),
        cell("dec", GRU(2, 4), "input", 2),
        Attention("att", "dot", False, STEPS, sources=("dec", "enc", "enc")),
        Sum("sum", sources=("dec", "att")),
        cell("more", GRU(4, 4), "sum", 3),
        Attention("again", "dot", False, STEPS, sources=("more", "enc", "enc")),
        Concatenate("both", sources=("more", "again")),
        inputs=(3, 2),
    )


def direct():
    """No cell on the memory; one query a sequence, after all of the input."""
    return quantized(
        cell("dec", GRU(2, 3), "input", 1),
        LastStep("last", sources=("dec",)),
        Attention("att", "dot", False, STEPS, sources=("last", "memory", "memory")),
        inputs=(3, 2),
    )


def beside_itself():
    """Attention within the memory before that to the memory."""
    return quantized(
        cell("enc", Linear(3, 4), "memory", 1),
        Attention("self", "dot", False, STEPS, sources=("enc", "enc", "enc")),
        cell("dec", GRU(2, 4), "input", 2),
        Attention("causal", "dot", True, 12, sources=("dec", "dec", "dec")),
        Attention("att", "dot", False, STEPS, sources=("causal", "self", "enc")),
        inputs=(3, 2),
    )


@pytest.mark.parametrize(
    "make",
    [chained, *(pytest.param(m, marks=pytest.mark.slow) for m in (bidirectional, direct))],
)
def test_ways(prove, make):
    prove(make(), 9, lengths=LENGTHS, stalls=(0.0, 0.4))


@pytest.mark.slow
def test_attention_of_all_kinds(prove):
    prove(beside_itself(), 11, lengths=LENGTHS, stalls=(0.0, 0.4))


@pytest.mark.slow
def test_long_memories(prove):
    prove(translator(steps=130), 8, lengths=(110, 2, 130), stalls=(0.0, 0.3))


@pytest.mark.slow
def test_a_reader_so_slow_that_all_queues_fill(prove):
    prove(chained(), 9, lengths=(5, 1, 7), stalls=(0.97,))


def test_registers_between_pairs(prove):
    """States of both sides are loaded before some pairs and read after others."""
    network = translator(inputs=(3, 1), size=2)
    prove(network, 7, lengths=(4, 1, 3), stalls=(0.3,), registers=True)


@pytest.mark.slow
@pytest.mark.parametrize("make", [translator, bidirectional, chained, direct, beside_itself])
def test_registers_of_all_ways(prove, make):
    prove(make(), 11, lengths=LENGTHS, stalls=(0.0, 0.4), registers=True)
