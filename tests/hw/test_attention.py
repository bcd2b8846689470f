"""Attention in hardware equals the golden model in every bit and the cycle model in every cycle."""

# amaranth: UnusedElaboratable=no

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM
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
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.accelerator import Accelerator
from deltaloom.sim import golden, pysim
from deltaloom.sim.stimulus import Ports, Stimulus

LENGTHS = (5, 1, 1, 12, 2, 3)  # the fourth one is as long as there is room for
CASES = {
    "dot": ("dot", True, {}, 3),
    "dot of whole sequences": ("dot", False, {}, 3),
    "additive": ("additive", True, {}, 3),
    "additive of whole sequences": ("additive", False, {}, 3),
    "one lane": ("dot", True, {"size": 3, "values": 2}, 1),
    "more lanes than anything": ("additive", True, {"size": 2, "values": 3}, 17),
    "vectors of one": ("dot", False, {"size": 1, "values": 1, "inputs": 1}, 2),
    "values of one": ("additive", True, {"size": 4, "values": 1}, 5),
    "queries of one": ("dot", True, {"size": 1, "values": 9}, 4),
    "a sharp softmax": ("dot", True, {"scale": 30.0}, 4),
    "a flat softmax": ("dot", False, {"scale": 2.0**-20}, 4),
    "narrow": ("dot", True, {"recipe": Recipe(activations="int2", weights="int4")}, 3),
    "wide": ("additive", True, {"recipe": Recipe(activations="int16", weights="int16")}, 3),
    "narrow gates": ("additive", True, {"recipe": Recipe(elementwise=6, weights="int4")}, 3),
}


QUICK = (("dot", "zero"), ("additive", "none"), ("dot of whole sequences", "none"))
RUNS = [
    pytest.param(name, skip, marks=() if (name, skip) in QUICK else pytest.mark.slow)
    for name in CASES
    for skip in ("none", "zero")
]


@pytest.mark.parametrize(("name", "skip"), RUNS)
def test_cases(attention_network, prove, name, skip):
    form, causal, options, lanes = CASES[name]
    recipe = replace(options.get("recipe", Recipe()), skip=skip)
    network = attention_network(form, causal, **{**options, "recipe": recipe})
    split = {"q": 2, "k": 3, "v": 2, "att": lanes}
    prove(network, split, lengths=LENGTHS, stalls=(0.0, 0.4))


def test_a_reader_so_slow_that_the_queue_fills(attention_network, prove):
    network = attention_network("dot", True, size=2, values=5, inputs=1, max_steps=5)
    prove(network, {"q": 2, "k": 2, "v": 5, "att": 5}, lengths=(5, 1, 5), stalls=(0.98,))


@pytest.mark.parametrize("steps", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_little_room(attention_network, prove, steps):
    network = attention_network("dot", True, max_steps=steps)
    prove(network, 6, lengths=(1, steps, 1, steps, steps), stalls=(0.0, 0.4))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dot", "additive"])
def test_long_sequences(attention_network, prove, form):
    network = attention_network(form, True, max_steps=150, recipe=Recipe(skip="zero"))
    prove(network, {"q": 2, "k": 2, "v": 2, "att": 4}, lengths=(150, 3, 101), stalls=(0.0, 0.3))


def network_of(*layers, inputs, recipe=None, steps=12):
    network = Network(layers)
    x = np.random.default_rng(0).normal(size=(4, steps, inputs))
    return quantize(network, x, recipe or Recipe(skip="delta"))


@pytest.fixture(scope="session")
def cell():
    """A random float cell that reads a stream."""

    def cell(name, kind, *sources):
        rng = np.random.default_rng(len(name))
        graph = trace(kind)
        shapes = parameter_shapes(graph).items()
        return Layer(
            name,
            type(kind).__name__,
            graph,
            {
                k: rng.normal(size=s) * (1 / np.sqrt(s[-1]) if len(s) > 1 else 0.3)
                for k, s in shapes
            },
            sources,
        )

    return cell


def attention(*sources, causal=True, form="dot", max_steps=12, name="att"):
    return Attention(name, form, causal, max_steps, sources=sources)


def test_keys_and_values_of_one_stream_and_a_residual(cell, prove):
    """Nothing stops for good where a stream goes to all three sources and around them."""
    network = network_of(
        cell("rnn", GRU(3, 5)),
        attention("rnn", "rnn", "rnn"),
        Sum("residual", sources=("att", "rnn")),
        inputs=3,
    )
    prove(network, 5, lengths=LENGTHS, stalls=(0.0, 0.5))


@pytest.mark.slow
def test_a_residual_around_attention_to_whole_sequences(cell, prove):
    network = network_of(
        cell("rnn", GRU(3, 5)),
        attention("rnn", "rnn", "rnn", causal=False),
        Concatenate("both", sources=("rnn", "att")),
        cell("head", LSTM(10, 3), "both"),
        inputs=3,
    )
    prove(network, 9, lengths=LENGTHS, stalls=(0.0, 0.5))


@pytest.mark.slow
def test_attention_to_what_runs_backwards(cell, prove):
    network = network_of(
        cell("forward", GRU(3, 5), "input"),
        Reverse("mirrored", 12, sources=("input",)),
        cell("backward", GRU(3, 5), "mirrored"),
        Reverse("restored", 12),
        attention("forward", "restored", "restored"),
        Sum("sum", sources=("att", "forward")),
        inputs=3,
    )
    prove(network, 7, lengths=LENGTHS, stalls=(0.0, 0.5))


@pytest.mark.slow
def test_a_final_state_asks_the_whole_sequence(cell, prove):
    network = network_of(
        cell("rnn", GRU(3, 5)),
        LastStep("last"),
        attention("last", "rnn", "rnn", causal=False),
        inputs=3,
    )
    prove(network, 5, lengths=LENGTHS, stalls=(0.0, 0.5))


@pytest.mark.slow
def test_attention_of_attention_on_the_bare_input(cell, prove):
    network = network_of(
        attention("input", "input", "input"),
        attention("att", "input", "att", causal=False, name="again"),
        LastStep("last"),
        cell("head", LSTM(4, 3)),
        inputs=4,
    )
    prove(network, 7, lengths=LENGTHS, stalls=(0.0, 0.5))


def test_a_sequence_without_room_is_cut_and_flagged(attention_network):
    """Twelve timesteps fit; of thirty the accelerator makes sequences of 12, 12 and 6."""
    network = attention_network("dot", True)
    rng = np.random.default_rng(0)
    values = rng.integers(-128, 128, (30, 3))
    expected = golden.run(network, [values[:12], values[12:24], values[24:]]).outputs
    last = np.zeros(values.size, bool)
    last[-1] = True
    design = Accelerator(network, schedule(network, 8))
    ports = Ports(len(design.s_axis_tdata), len(design.m_axis_tdata))
    outputs = np.concatenate([part.ravel() for part in expected])

    class Watched(wiring.Component):
        """Shows the error flag as the mark of every timestep."""

        def __init__(self):
            super().__init__(dict(design.signature.members))

        def elaborate(self, platform):
            m = Module()
            m.submodules.design = design
            wiring.connect(m, wiring.flipped(self), design)
            m.d.comb += self.m_axis_tuser.eq(design.error)
            return m

    capture = pysim.build(Watched(), ports).run(Stimulus(values.ravel(), last, len(outputs)))
    np.testing.assert_array_equal(capture.data, outputs)
    ends = np.cumsum([part.size for part in expected]) - 1
    np.testing.assert_array_equal(np.flatnonzero(capture.last), ends)
    assert capture.user[-1]
    assert not capture.user[0]
