"""The golden model against torch: every output within a bound that is derived, not chosen.

With 16 bits everywhere, a value v of the integer graph stands for the real value r of the same
equation and differs from it by at most e, node by node:

- input, rescale: e grows by half a unit of the format (nothing saturates: it is checked);
- affine: with real weights W, stored ones W + D, operand o and its error e_o, it is
  |W| e_o + |D| (|o| + e_o), and |the bias's own rounding|;
- sum, difference: e_a + e_b; product: |a| e_b + |b| e_a + e_a e_b;
- sigmoid and tanh have slopes of at most 1/4 and 1: that times e, and the table's worst error;
- a state carries its value and e to the next timestep.
"""

import numpy as np
import pytest
import torch

from deltaloom.compiler.encodings import UNIT_MULTIPLIER
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.functions import function_of
from deltaloom.compiler.graph import Activation, Add, Affine, Input, Mul, Rescale, Scale, State, Sub
from deltaloom.compiler.pwl import worst_error
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import golden


def reals(layer, parameters, inputs):
    """Real outputs (time, units) of the layer's equations, and how far the integers may be off."""
    states = {p: (np.zeros(s.size), np.zeros(s.size)) for p, s in layer.graph.of(State)}
    outputs = []
    for x in inputs:
        found = []
        for position, node in enumerate(layer.graph.nodes):
            half = node.format.scale / 2
            match node:
                case Input():
                    entry = (x, np.full(len(x), half))
                case State():
                    entry = states[position]
                case Affine():
                    entry = affine(layer, node, parameters, found)
                case Add() | Sub():
                    (a, a_off), (b, b_off) = found[node.a], found[node.b]
                    entry = (a + b if isinstance(node, Add) else a - b, a_off + b_off)
                case Mul():
                    (a, a_off), (b, b_off) = found[node.a], found[node.b]
                    entry = (a * b, abs(a) * b_off + abs(b) * a_off + a_off * b_off)
                case Rescale():
                    value, off = found[node.operand]
                    entry = (value, off + half)
                case Scale():
                    value, off = found[node.operand]
                    entry = tuple(part * node.multiplier / UNIT_MULTIPLIER for part in (value, off))
                case Activation(function="relu"):
                    value, off = found[node.operand]
                    entry = (np.maximum(value, 0), off)
                case Activation():
                    table = layer.tables[node.name]
                    value, off = found[node.operand]
                    error = worst_error(table) * table.target.scale
                    entry = (node.definition(value), steepest(table) * off + error)
            found.append(entry)
        states = {p: found[layer.graph.next_of(p)] for p in states}
        outputs.append(found[layer.graph.output])
    return tuple(np.array(part) for part in zip(*outputs, strict=True))


def steepest(table):
    """Largest slope of a table's function within its source."""
    codes = np.arange(table.source.min, table.source.max + 1)
    return abs(function_of(table.function).slope(table.source.dequantize(codes))).max()


def affine(layer, node, parameters, found):
    bias = parameters[node.name]
    total = bias.copy()
    off = abs(layer.biases[node.name] * node.format.scale - bias)
    for path in node.paths:
        weights = parameters[node.key(path)]
        stray = abs(layer.weights[node.key(path)] * path.format.scale - weights)
        value, value_off = found[path.operand]
        total = total + weights @ value
        off = off + abs(weights) @ value_off + stray @ (abs(value) + value_off)
    return total, off


@pytest.mark.parametrize(
    "module",
    [
        lambda: torch.nn.LSTM(3, 5, batch_first=True),
        lambda: torch.nn.GRU(3, 5, batch_first=True),
        lambda: torch.nn.RNN(3, 5, batch_first=True),
        lambda: torch.nn.RNN(3, 5, nonlinearity="relu", batch_first=True),
        lambda: torch.nn.Linear(3, 5),
    ],
    ids=["LSTM", "GRU", "RNN", "ReluRNN", "Linear"],
)
@pytest.mark.parametrize("skip", ["none", "delta"])
def test_within_the_derived_bound(module, skip):
    torch.manual_seed(0)
    model = module().double()
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(8, 8, 3))
    with torch.no_grad():
        result = model(torch.from_numpy(x))
    want = (result[0] if isinstance(result, tuple) else result).numpy()
    network = from_torch(model)
    recipe = Recipe("int16", "int16", skip=skip, clip="minmax", elementwise=16)
    quantized = quantize(network, x, recipe)
    sequences = [quantized.input_format.quantize(sequence) for sequence in x]
    run = golden.run(quantized, sequences, trace=True)
    assert not any(run.traces[quantized.layers[0].name].saturated.values())
    for sequence, output, wanted in zip(x, run.outputs, want, strict=True):
        values, off = reals(quantized.layers[0], network.layers[0].parameters, sequence)
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-6)
        got = quantized.output_format.dequantize(output)
        assert (abs(got - values) <= off).all()
        assert off.max() < 0.1, "the bound says something"


def stored_parameters(layer):
    """What a layer's integer weights and biases stand for, real scales left out."""
    found = {}
    for _, node in layer.graph.of(Affine):
        found[node.name] = layer.biases[node.name] * node.format.scale
        for path in node.paths:
            found[node.key(path)] = layer.weights[node.key(path)] * path.format.scale
    return found


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "compensated"])
@pytest.mark.parametrize("weights", ["binary", "ternary", "quaternary", "shift3", "shift4", "int3"])
def test_encodings_compute_with_what_they_stand_for(weights, rounding, scale):
    torch.manual_seed(0)
    network = from_torch(torch.nn.LSTM(3, 5, batch_first=True).double())
    x = np.random.default_rng(0).uniform(-1, 1, size=(8, 8, 3))
    recipe = Recipe(
        weights, "int16", clip="mse", scale=scale, rounding=rounding, state_limits={"*.c": 16}
    )
    quantized = quantize(network, x, recipe)
    (layer,) = quantized.layers
    scaled = {node.operand for _, node in layer.graph.of(Scale)}
    assert len(scaled) == (4 if scale == "real" else 0)
    run = golden.run(quantized, [quantized.input_format.quantize(s) for s in x], trace=True)
    assert any(values.any() for values in run.outputs)
    if any(run.traces[layer.name].saturated.values()):
        return  # coarse weights leave the ranges that calibration saw
    for sequence, output in zip(x, run.outputs, strict=True):
        values, off = reals(layer, stored_parameters(layer), sequence)
        got = quantized.output_format.dequantize(output)
        assert (abs(got - values) <= off).all()
        assert off.max() < 0.1, "the bound says something"
