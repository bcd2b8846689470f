"""States that do not start from zero are trained too."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.compiler.cells import GRU, LSTM, SRU
from deltaloom.compiler.graph import State
from deltaloom.compiler.network import Network


def starting(layer, seed=0):
    """The layer with a first value for each of its states."""
    rng = np.random.default_rng(seed)
    states = [node for _, node in layer.graph.of(State)]
    return replace(layer, initial={s.name: rng.uniform(-0.9, 0.9, s.size) for s in states})


@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
@pytest.mark.parametrize("cell", [LSTM, GRU, SRU])
def test_equals_the_golden_model_in_every_bit(random_layer, sequences, moved, cell, skip):
    network = Network((starting(random_layer("rnn", cell(3, 4))),))
    recipe = dl.Recipe("int6", "int5", skip=skip, theta=2 if skip == "delta" else 0)
    x = [sequences(length, 3, seed=length) for length in (5, 1, 9)]
    prepared = moved(dl.prepare(network, recipe, x, learn_ranges=True))
    found = prepared([torch.from_numpy(part) for part in x])
    for ours, theirs in zip(found, dl.quantize(prepared)(x), strict=True):
        np.testing.assert_array_equal(ours.detach(), theirs)
    sum(part.square().sum() for part in found).backward()
    for name in network.computing[0].initial:
        assert prepared.get_parameter(f"cells.rnn.initial.{name}.value").grad.any()


def test_derivatives_are_those_of_the_float_layer(random_layer):
    """Within what 16-bit weights, activations and tables make of them."""
    layer = starting(random_layer("rnn", LSTM(3, 5)))
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 7, 3)))
    prepared = dl.prepare(Network((layer,)), dl.Recipe("int16", "int16", clip="minmax"), x)
    prepared(x).square().sum().backward()
    module = torch.nn.LSTM(3, 5, batch_first=True).double()
    with torch.no_grad():
        for name, operand in (("weight_ih_l0", "x"), ("weight_hh_l0", "h")):
            rows = np.concatenate([layer.parameters[f"{gate}.{operand}"] for gate in "ifgo"])
            module.get_parameter(name).copy_(torch.from_numpy(rows))
        biases = np.concatenate([layer.parameters[gate] for gate in "ifgo"])
        module.bias_ih_l0.copy_(torch.from_numpy(biases))
        module.bias_hh_l0.zero_()
    start = [torch.from_numpy(layer.initial[name]).requires_grad_() for name in "hc"]
    batch = tuple(values.expand(1, 4, 5).contiguous() for values in start)
    module(x, batch)[0].square().sum().backward()
    for name, values in zip("hc", start, strict=True):
        found = prepared.get_parameter(f"cells.rnn.initial.{name}.value").grad
        scale = float(values.grad.abs().max())
        np.testing.assert_allclose(found, values.grad, atol=3e-3 * scale)


def test_checkpoints_hold_them(random_layer, sequences, moved):
    network, x = Network((starting(random_layer("rnn", GRU(3, 4))),)), sequences(2, 6, 3)
    prepared, other = moved(dl.prepare(network, None, x)), dl.prepare(network, None, x)
    other.load_state_dict(prepared.state_dict())
    np.testing.assert_array_equal(dl.quantize(other)(x), dl.quantize(prepared)(x))
    assert set(dl.quantize(other).network.computing[0].initial) == {"h"}
