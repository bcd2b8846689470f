"""Random networks with a memory: both models and the hardware are equal."""

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import Concatenate, LastStep, Network, Reverse, Sum, Window
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.target import Target

CELLS = {"GRU": GRU, "LSTM": LSTM, "RNN": RNN, "Linear": Linear}
WIDTHS = st.sampled_from(["int3", "int8", "int13"])


@st.composite
def runs(draw):
    steps = draw(st.integers(1, 11))
    return {
        "inputs": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "size": draw(st.integers(1, 7)),
        "encoder": draw(st.sampled_from(["none", "both ways", "windows", "among itself", *CELLS])),
        "decoder": draw(st.sampled_from(list(CELLS))),
        "form": draw(st.sampled_from(["dot", "additive"])),
        "asks": draw(st.sampled_from(["always", "at the end"])),
        "after": draw(st.sampled_from(["nothing", "beside", "residual", "rnn", "again"])),
        "max_steps": steps,
        "recipe": {
            "skip": draw(st.sampled_from(["none", "zero", "delta"])),
            "activations": draw(WIDTHS),
            "weights": draw(WIDTHS),
        },
        "lanes": draw(st.integers(1, 9)),
        "lengths": draw(st.lists(st.integers(1, 13), min_size=1, max_size=5)),
        "stall": draw(st.sampled_from([0.0, 0.2, 0.6])),
        "target": Target(draw(st.booleans()), draw(st.booleans())),
        "registers": draw(st.booleans()),
        "seed": draw(st.integers(0, 1 << 20)),
    }


def encoder(run, layer):
    """Layers between the memory and keys as wide as the queries, the last of which is called k."""
    features, size, steps = run["inputs"][0], run["size"], run["max_steps"]
    match run["encoder"]:
        case "none":
            return [layer("k", Linear(features, size), "memory")]
        case "both ways":
            return [
                Reverse("back", steps, sources=("memory",)),
                layer("backward", GRU(features, size), "back"),
                Reverse("turned", steps, sources=("backward",)),
                layer("forward", GRU(features, size), "memory"),
                Sum("k", sources=("forward", "turned")),
            ]
        case "windows":
            padding = Window("near", 3, padding=(1, 1), sources=("memory",))
            return [padding, layer("k", Linear(3 * features, size), "near")]
        case "among itself":
            return [
                layer("kept", Linear(features, size), "memory"),
                Attention("among", "dot", False, steps, sources=("kept",) * 3),
                Sum("k", sources=("kept", "among")),
            ]
        case kind:
            return [layer("k", CELLS[kind](features, size), "memory")]


def decoder(run, layer, rng):
    """From the input to the output, through attention to k."""
    size, steps, asks = run["size"], run["max_steps"], "q"
    layers = [layer("q", CELLS[run["decoder"]](run["inputs"][1], size), "input")]
    if run["asks"] == "at the end":
        layers, asks = [*layers, LastStep("end", sources=("q",))], "end"

    def attention(name, query):
        energies = rng.normal(size=size) if run["form"] == "additive" else None
        sources = (query, "k", "k")
        return Attention(name, run["form"], False, steps, energies=energies, sources=sources)

    after = {
        "nothing": [],
        "beside": [
            Concatenate("both", sources=(asks, "att")),
            layer("head", Linear(2 * size, 3), "both"),
        ],
        "residual": [Sum("sum", sources=("att", asks))],
        "rnn": [layer("rnn", GRU(size, 3), "att")],
        "again": [
            Sum("sum", sources=("att", asks)),
            layer("more", Linear(size, size), "sum"),
            attention("other", "more"),
        ],
    }
    return [*layers, attention("att", asks), *after[run["after"]]]


@pytest.fixture(scope="session")
def case_of(random_layer, make_run):
    def case_of(run):
        rng = np.random.default_rng(run["seed"])

        def layer(name, cell, source):
            return random_layer(name, cell, sources=(source,))

        network = Network((*encoder(run, layer), *decoder(run, layer, rng)))
        memory, x = (rng.normal(size=(4, run["max_steps"], size)) for size in run["inputs"])
        try:
            integer = quantize(network, x, Recipe(**run["recipe"]), memory=memory)
        except DeltaloomError:  # energies of three bits that all round to zero, ...
            reject()
        lanes = {layer.name: 3 for layer in integer.multiplying} | {"att": run["lanes"]}
        options = {name: run[name] for name in ("lengths", "stall", "target", "registers", "seed")}
        return make_run(integer, lanes, **options)

    return case_of


def test_random_pairs(fuzz, case_of):
    fuzz(runs(), case_of, 2, shrink=False)


@pytest.mark.slow
def test_many_random_pairs(fuzz, case_of):
    fuzz(runs(), case_of, 150)


@pytest.mark.slow
def test_random_pairs_in_compiled_simulators(fuzz, case_of, compiled):
    fuzz(runs(), case_of, 5, shrink=False, simulator=compiled)
