"""Random convolutional cells: golden model, cycle model and hardware are equal."""

import pytest
from hypothesis import reject
from hypothesis import strategies as st

from deltaloom.compiler.cells import ConvLSTM, Linear, PeepholeConvLSTM
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import most_useful_lanes
from deltaloom.compiler.target import Target


@st.composite
def runs(draw):
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


@pytest.fixture
def case_of(integer_network, make_run):
    def case_of(run):
        try:
            network = integer_network(*run["cells"], recipe=run["recipe"], seed=run["seed"])
        except DeltaloomError:
            reject()
        lanes = {
            layer.name: min(count, most_useful_lanes(layer) + 1)
            for layer, count in zip(network.computing, run["lanes"], strict=False)
        }
        return make_run(
            network, lanes, **{k: run[k] for k in ("lengths", "stall", "target", "seed")}
        )

    return case_of


def test_random_convolutions(fuzz, case_of):
    fuzz(runs(), case_of, 3, shrink=False)


@pytest.mark.slow
def test_many_random_convolutions(fuzz, case_of):
    fuzz(runs(), case_of, 100)


@pytest.mark.slow
def test_random_convolutions_in_compiled_simulators(fuzz, case_of, compiled):
    fuzz(runs(), case_of, 6, simulator=compiled)
