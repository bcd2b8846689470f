"""Random graphs of layers: golden model, cycle model and hardware are equal in every bit and cycle.

Streams fork, join, are reversed, pooled and shown in windows, with cells of all kinds between them.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    Linear,
    ResetBeforeGRU,
)
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
)
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import most_useful_lanes
from deltaloom.compiler.target import Target
from deltaloom.compiler.wiring import INPUT, Length, stream_lengths

STEPS, ENTRIES, WIDEST = 9, 7, 12


@dataclass
class Stream:
    name: str
    size: int
    read: bool = False


class Graph:
    """Layers that are added one by one, each on streams that are there."""

    def __init__(self, draw, make):
        self.draw = draw
        self.make = make
        self.layers = []
        self.streams = []

    def name(self):
        return f"l{len(self.layers)}"

    def add(self, layer, size, *sources):
        for source in sources:
            source.read = True
        self.layers.append(layer)
        self.streams.append(Stream(layer.name, size))
        return self.streams[-1]

    def add_cell(self, source):
        kinds = st.sampled_from([GRU, LSTM, RNN, Linear, Linear, SRU, ResetBeforeGRU])
        size, kind = self.draw(st.integers(1, 5)), self.draw(kinds)
        layer = self.make(self.name(), kind(source.size, size), sources=(source.name,))
        return self.add(layer, size, source)

    def length(self, stream):
        return stream_lengths(self.layers)[stream.name] if self.layers else Length()

    def add_window(self, source):
        kernel, dilation = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
        span = dilation * (kernel - 1)
        layer = Window(
            self.name(),
            kernel,
            self.draw(st.integers(1, 3)),
            dilation,
            (self.draw(st.integers(0, span)), self.draw(st.integers(0, span))),
            sources=(source.name,),
        )
        after = stream_lengths([*self.layers, layer])[layer.name]
        if kernel * source.size > WIDEST or after.of(STEPS) < 2:
            return self.add_cell(source)
        return self.add(layer, kernel * source.size, source)

    def add_join(self, source):
        """With streams of the same timesteps, itself among them: summed if they are of a size."""
        length = self.length(source)
        others = [s for s in self.streams if self.length(s) == length]
        joined = [source, *self.draw(st.lists(st.sampled_from(others), min_size=1, max_size=2))]
        names = tuple(stream.name for stream in joined)
        if len({stream.size for stream in joined}) == 1 and self.draw(st.booleans()):
            return self.add(Sum(self.name(), sources=names), source.size, *joined)
        size = sum(stream.size for stream in joined)
        if size > WIDEST:
            return self.add_cell(source)
        return self.add(Concatenate(self.name(), sources=names), size, *joined)

    def add_reduction(self, source):
        layer = self.draw(
            st.sampled_from(
                [
                    LastStep(self.name(), sources=(source.name,)),
                    Pool(self.name(), "max", sources=(source.name,)),
                    Pool(self.name(), "mean", 2 * STEPS, sources=(source.name,)),
                ]
            )
        )
        return self.add(layer, source.size, source)

    def add_any(self, source):
        if self.length(source).once:
            kinds = [self.add_cell, self.add_join]
        else:
            kinds = [self.add_cell, self.add_join, self.add_window, self.add_reduction]
            kinds += [self.add_reverse, self.add_row]
        return self.draw(st.sampled_from(kinds))(source)

    def add_reverse(self, source):
        steps = self.draw(st.integers(2 * STEPS, 3 * STEPS))
        return self.add(Reverse(self.name(), steps, sources=(source.name,)), source.size, source)

    def add_row(self, source):
        """The largest feature's index, and its row of a table."""
        index = self.add(ArgMax(self.name(), sources=(source.name,)), 1, source)
        return self.add_table(index, source.size)

    def add_table(self, index, entries):
        size, seed = self.draw(st.integers(1, 4)), self.draw(st.integers(0, 99))
        table = np.random.default_rng(seed).normal(size=(entries, size))
        return self.add(Embedding(self.name(), table, sources=(index.name,)), size, index)

    def close(self):
        """All streams that nobody reads, joined as one."""
        ends = [stream for stream in self.streams if not stream.read]
        if len({self.length(stream) for stream in ends}) > 1:
            ends = [s if self.length(s).once else self.add_reduction(s) for s in ends]
        if len(ends) > 1:
            names = tuple(stream.name for stream in ends)
            self.add(Concatenate(self.name(), sources=names), sum(s.size for s in ends), *ends)


@st.composite
def graphs(draw, make):
    graph = Graph(draw, make)
    start = Stream(INPUT, 1)
    words = draw(st.booleans())
    if words:
        first = graph.add_table(start, ENTRIES)
    else:
        start.size = draw(st.integers(1, 4))
        graph.streams.append(start)
        first = graph.add_cell(start)
    if draw(st.booleans()):
        graph.add_cell(first)
    for _ in range(draw(st.integers(1, 5))):
        waiting = [stream for stream in graph.streams if not stream.read]
        pool = st.sampled_from(graph.streams) | st.sampled_from(waiting or graph.streams)
        graph.add_any(draw(pool))
    graph.close()
    if words and not any("Layer" in type(layer).__name__ for layer in graph.layers):
        graph.add_cell(graph.streams[-1])
    return graph.layers, start.size, words


def runs(make):
    skips = st.sampled_from(["none", "zero", "delta"])
    return st.fixed_dictionaries(
        {
            "graph": graphs(make),
            "recipe": st.builds(
                Recipe,
                weights=st.sampled_from(["int4", "int8", "ternary"]),
                activations=st.sampled_from(["int4", "int7", "int8", "int12"]),
                skip=skips,
                elementwise=st.integers(8, 16),
                theta=st.just(0),
            ),
            "lanes": st.integers(1, 12),
            "lengths": st.lists(st.integers(1, STEPS), min_size=1, max_size=5),
            "stall": st.sampled_from([0.0, 0.3, 0.7]),
            "target": st.builds(Target, st.booleans(), st.booleans()),
            "seed": st.integers(0, 1 << 20),
        }
    )


@pytest.fixture
def case_of(make_run):
    def case_of(run):
        layers, size, words = run["graph"]
        rng = np.random.default_rng(run["seed"])
        shape = (4, STEPS, size)
        x = rng.integers(0, ENTRIES, shape) if words else rng.normal(size=shape)
        try:
            network = quantize(Network(tuple(layers)), x, run["recipe"])
        except DeltaloomError as error:
            if "weights" not in str(error):
                raise
            reject()  # all of them round to zero
        lanes = {
            layer.name: min(run["lanes"], most_useful_lanes(layer) + 1)
            for layer in network.computing
        }
        return make_run(
            network, lanes, **{k: run[k] for k in ("lengths", "stall", "target", "seed")}
        )

    return case_of


def test_random_graphs(fuzz, random_layer, case_of):
    fuzz(runs(random_layer), case_of, 6, shrink=False)


@pytest.mark.slow
def test_many_random_graphs(fuzz, random_layer, case_of):
    fuzz(runs(random_layer), case_of, 300)


@pytest.mark.slow
def test_random_graphs_in_compiled_simulators(fuzz, random_layer, case_of, compiled):
    fuzz(runs(random_layer), case_of, 6, simulator=compiled)
