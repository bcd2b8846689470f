"""What a file may say of stream layers, and what the float network would not let pass."""

from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import Linear
from deltaloom.compiler.checks.network_checks import check_network
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.network import Embedding, Network, Pool, Reverse, Window
from deltaloom.compiler.quantize import quantize

TABLE = np.random.default_rng(3).normal(size=(11, 2))


@pytest.fixture
def network(make_layer):
    layers = (
        Embedding("words", TABLE),
        Window("w", 3, sources=("words",)),
        make_layer("a", Linear(6, 2)),
        Reverse("r", 8),
        Window("v", 2),
        Pool("pool", "mean", 9),
        make_layer("b", Linear(4, 2)),
    )
    calibration = np.random.default_rng(2).integers(0, 11, (3, 7, 1))
    return quantize(Network(layers), calibration)


def changed(network, name, **values):
    return IntegerNetwork(
        tuple(replace(layer, **values) if layer.name == name else layer for layer in network.layers)
    )


def test_is_sound(network):
    check_network(network)
    assert network.input_format == Format(5, 0)
    assert network.inputs["input"].range == (0, 10)
    assert network.inputs["input"].min_steps == 4
    assert network.inputs["input"].max_steps == 10


CASES = {
    "room": (
        "r",
        {"max_steps": 1},
        "Network must take sequences of 4 timesteps, the fewest that its windows need, where its "
        "layers have room for no more than 3",
    ),
    "no format": ("pool", {"format": None}, "Layer pool must have a format"),
    "mean steps": (
        "pool",
        {"max_steps": 0},
        "Layer pool must have max_steps from 1 to 65536, not 0",
    ),
    "fraction": (
        "pool",
        {"format": Format(8, 60)},
        "Layer pool must have a mean with -15 to 40 fraction bits more than s16.13, not s8.60",
    ),
    "whole numbers": (
        "words",
        {"format": Format(2, 0)},
        "Table of layer words must hold integers of s2.0",
    ),
    "not a table": (
        "words",
        {"table": np.zeros((0, 2), np.int64)},
        "Layer words must have a table of shape (entries, features), not (0, 2)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rules(network, case):
    name, values, sentence = CASES[case]
    with pytest.raises(ValueError, match=sentence[:10]) as error:
        check_network(changed(network, name, **values))
    assert str(error.value) == sentence


def test_a_given_format_is_for_inputs_that_no_layer_asks_a_format_of(network):
    with pytest.raises(ValueError, match=r"^Network must not have a given format where a layer "):
        check_network(replace(network, given_format=Format(5, 0)))
    open = replace(network, layers=(Pool("p", "mean", 9, Format(8, 4)), *network.layers[6:]))
    with pytest.raises(ValueError, match=r"^Network must have a given format where no layer asks"):
        check_network(open)


def test_largest_values_take_neither_format_nor_limit():
    with pytest.raises(ValueError, match=r"^Layer p must have neither a format nor max_steps: "):
        Pool("p", "max", 3).check()
