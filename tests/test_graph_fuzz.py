"""Random graphs of layers: golden model, cycle model and hardware are equal in every bit and cycle.

Streams fork, join, are reversed, pooled and shown in windows, with cells of all kinds between them.
"""

# amaranth: UnusedElaboratable=no

from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.back import rtlil, verilog
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    ConvLSTM,
    Linear,
    PeepholeConvLSTM,
    ResetBeforeGRU,
)
from deltaloom.compiler.errors import DeltaloomError, ToolMissingError
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
from deltaloom.sim import cxxrtl, tools, verilator

STEPS, ENTRIES, WIDEST = 9, 7, 12
SIMULATORS = {"cxxrtl": cxxrtl, "verilator": verilator}


def profile(examples, *, shrink=True):
    return settings(
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


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


def case_of(make_run, run):
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
        layer.name: min(run["lanes"], most_useful_lanes(layer) + 1) for layer in network.computing
    }
    return make_run(network, lanes, **{k: run[k] for k in ("lengths", "stall", "target", "seed")})


@st.composite
def convolutions(draw):
    """A convolutional cell, perhaps two, and perhaps a linear layer before or behind."""
    kind = draw(st.sampled_from([ConvLSTM, PeepholeConvLSTM]))
    side, taps = st.integers(1, 3), st.integers(1, 3)
    grid = draw(st.tuples(side, side))
    kernel = draw(st.tuples(taps, taps))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.sampled_from(["same", "valid", 1, (2, 0), (0, 1)]))
    channels = draw(st.integers(1, 2))
    try:
        cell = kind(
            channels,
            draw(st.integers(1, 2)),
            grid,
            kernel,
            padding,
            dilation,
            state_kernel=draw(st.none() | st.tuples(taps, taps)),
        )
    except ValueError:  # the kernel does not fit
        reject()
    cells = [cell]
    if draw(st.booleans()):
        cells.insert(0, Linear(draw(st.integers(1, 3)), cell.input_size))
    if draw(st.booleans()):
        cells.append(Linear(cell.hidden_size, draw(st.integers(1, 3))))
    if draw(st.booleans()):
        cells.append("last")
    return {
        "cells": cells,
        "recipe": Recipe(
            weights=draw(st.sampled_from(["int4", "int8", "shift3"])),
            skip=draw(st.sampled_from(["none", "zero", "delta"])),
        ),
        "lanes": [draw(st.integers(1, 9)) for _ in cells],
        "lengths": draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)),
        "stall": draw(st.sampled_from([0.0, 0.5])),
        "target": Target(draw(st.booleans()), draw(st.booleans())),
        "seed": draw(st.integers(0, 1 << 20)),
    }


def convolution_of(integer_network, make_run, run):
    try:
        network = integer_network(*run["cells"], recipe=run["recipe"], seed=run["seed"])
    except DeltaloomError:
        reject()
    lanes = {
        layer.name: min(count, most_useful_lanes(layer) + 1)
        for layer, count in zip(network.computing, run["lanes"], strict=False)
    }
    return make_run(network, lanes, **{k: run[k] for k in ("lengths", "stall", "target", "seed")})


def test_random_graphs(random_layer, make_run, check_run):
    @given(run=runs(random_layer))
    @profile(6, shrink=False)
    def check(run):
        check_run(case_of(make_run, run))

    check()


@pytest.mark.slow
def test_many_random_graphs(random_layer, make_run, check_run):
    @given(run=runs(random_layer))
    @profile(300)
    def check(run):
        check_run(case_of(make_run, run))

    check()


def test_random_convolutions(integer_network, make_run, check_run):
    @given(run=convolutions())
    @profile(3, shrink=False)
    def check(run):
        check_run(convolution_of(integer_network, make_run, run))

    check()


@pytest.mark.slow
def test_many_random_convolutions(integer_network, make_run, check_run):
    @given(run=convolutions())
    @profile(100)
    def check(run):
        check_run(convolution_of(integer_network, make_run, run))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["graphs", "convolutions"])
@pytest.mark.parametrize("name", SIMULATORS)
def test_in_compiled_simulators(
    random_layer, integer_network, make_run, check_run, build_design, name, what
):
    try:
        tools.require(name)
    except ToolMissingError as error:
        pytest.skip(str(error))

    @given(run=runs(random_layer) if what == "graphs" else convolutions())
    @profile(6)
    def check(run):
        if what == "graphs":
            case = case_of(make_run, run)
        else:
            case = convolution_of(integer_network, make_run, run)
        convert = rtlil if name == "cxxrtl" else verilog
        design, ports = build_design(case)
        source = convert.convert(design, name="top", emit_src=False)
        check_run(case, SIMULATORS[name].build(source, ports))

    check()
