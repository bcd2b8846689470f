"""Random networks: golden model, cycle model and hardware are equal in every bit and cycle."""

import pytest
from hypothesis import reject
from hypothesis import strategies as st

from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    CoupledLSTM,
    LayerNormLSTM,
    LiGRU,
    Linear,
    PeepholeLSTM,
    ProjectedLSTM,
    ReluRNN,
    ResetBeforeGRU,
)
from deltaloom.compiler.encodings import ENCODINGS
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.graph import Affine
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import most_useful_lanes
from deltaloom.compiler.target import Target

PLAIN = [
    GRU,
    LSTM,
    RNN,
    Linear,
    ReluRNN,
    LiGRU,
    CoupledLSTM,
    PeepholeLSTM,
    ResetBeforeGRU,
    SRU,
    LayerNormLSTM,
]
SIZES = st.integers(1, 12)
INTEGERS = [f"int{bits}" for bits in range(2, 17)]
COARSE = [name for name in ENCODINGS if name not in INTEGERS]
PATTERNS = st.sampled_from(["l.0.*", "*.x", "l.0.*.x"])


@st.composite
def chains(draw):
    """One to three cells, and perhaps the selection of the last step behind one of them."""
    sizes = draw(st.lists(SIZES, min_size=2, max_size=4))
    cells = []
    for size, following in zip(sizes, sizes[1:], strict=False):
        kind = draw(st.sampled_from([*PLAIN, ProjectedLSTM]))
        projected = kind is ProjectedLSTM
        cells.append(kind(size, draw(SIZES), following) if projected else kind(size, following))
    if draw(st.booleans()):
        cells.insert(draw(st.integers(1, len(cells))), "last")
    return cells


@st.composite
def recipes(draw, cells):
    width = st.integers(2, 16)
    skip = draw(st.sampled_from(["none", "zero", "delta", "delta", "top_k"]))
    activations = draw(width)
    theta = {}
    if skip == "delta":
        largest = min(40, (1 << activations) - 1)
        theta = {
            f"l.{index}": {
                operand: draw(st.integers(0, largest))
                for operand in sorted({p.name for _, a in trace(cell).of(Affine) for p in a.paths})
            }
            for index, cell in enumerate(cells)
            if cell != "last"
        }
    encodings = st.sampled_from(COARSE) | st.sampled_from(INTEGERS)
    patterns = draw(st.lists(PATTERNS, max_size=2))
    return Recipe(
        weights=draw(encodings),
        paths={pattern: {"weights": draw(encodings)} for pattern in patterns},
        scale=draw(st.sampled_from(["power-of-two", "real"])),
        rounding=draw(st.sampled_from(["nearest", "stochastic", "compensated"])),
        activations=f"int{activations}",
        elementwise=draw(st.integers(8, 16)),
        output=draw(st.none() | width),
        clip=draw(st.sampled_from(["mse", "minmax"])),
        skip=skip,
        theta=theta,
        k=draw(st.integers(1, 8)) if skip == "top_k" else None,
        **draw(st.sampled_from([{}, {"tables": "adaptive", "segments": 13}])),
    )


@st.composite
def runs(draw):
    cells = draw(chains())
    recipe = draw(recipes(cells))
    return {
        "cells": cells,
        "recipe": recipe,
        "lanes": [draw(st.integers(1, 60)) for _ in cells],
        "lengths": draw(st.lists(st.integers(1, 9), min_size=1, max_size=6)),
        "stall": draw(st.sampled_from([0.0, 0.2, 0.6])),
        "target": Target(draw(st.booleans()), draw(st.booleans())),
        "seed": draw(st.integers(0, 1 << 20)),
        "registers": draw(st.booleans()),
    }


@pytest.fixture(scope="session")
def case_of(integer_network, make_run):
    def case_of(run):
        try:
            network = integer_network(*run["cells"], recipe=run["recipe"], seed=run["seed"])
        except DeltaloomError:  # weights of two bits that all round to zero, ...
            reject()
        lanes = {
            layer.name: min(count, most_useful_lanes(layer) + 2)
            for layer, count in zip(network.computing, run["lanes"], strict=False)
        }
        names = ("lengths", "stall", "target", "seed", "registers")
        options = {name: run[name] for name in names}
        return make_run(network, lanes, **options)

    return case_of


def test_random_networks(fuzz, case_of):
    fuzz(runs(), case_of, 8, shrink=False)


@pytest.mark.slow
def test_many_random_networks(fuzz, case_of):
    fuzz(runs(), case_of, 400)


@pytest.mark.slow
def test_random_networks_in_compiled_simulators(fuzz, case_of, compiled):
    fuzz(runs(), case_of, 8, shrink=False, simulator=compiled)
