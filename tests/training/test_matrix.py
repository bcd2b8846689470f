"""Every cell in every encoding: what is trained is what is deployed, in every bit."""

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.compiler import cells
from deltaloom.compiler.cell import Cell, constant, with_output
from deltaloom.compiler.layer_norm import layer_norm
from deltaloom.compiler.network import Layer, Network

CELLS = {
    "RNN": cells.RNN(3, 4),
    "ReluRNN": cells.ReluRNN(3, 4),
    "LSTM": cells.LSTM(3, 4),
    "GRU": cells.GRU(3, 4),
    "Linear": cells.Linear(3, 4, "tanh"),
    "LiGRU": cells.LiGRU(3, 4),
    "CoupledLSTM": cells.CoupledLSTM(3, 4),
    "PeepholeLSTM": cells.PeepholeLSTM(3, 4),
    "ProjectedLSTM": cells.ProjectedLSTM(3, 5, 2),
    "ResetBeforeGRU": cells.ResetBeforeGRU(3, 4),
    "SRU": cells.SRU(3, 4, "tanh"),
    "SRU, highway": cells.SRU(3, 3, scaled=True),
    "LayerNormLSTM": cells.LayerNormLSTM(3, 4),
    "LayerNormLSTM, mad": cells.LayerNormLSTM(3, 4, "mad"),
    "ConvLSTM": cells.ConvLSTM(1, 2, (1, 3), (1, 2), "valid", 1, (1, 3)),
    "PeepholeConvLSTM": cells.PeepholeConvLSTM(1, 2, (3, 1), (2, 1)),
}
ENCODINGS = [
    *("int8", "int4", "int2", "binary", "ternary", "quaternary", "shift2", "shift3", "shift4")
]


def check(network, weights, scale, skip, moved):
    x = np.random.default_rng(1).normal(size=(3, 7, network.input_size))
    theta = 2 if skip == "delta" else 0
    recipe = dl.Recipe(weights, "int5", skip=skip, theta=theta, scale=scale)
    prepared = moved(dl.prepare(network, recipe, x))
    found = prepared(torch.from_numpy(2 * x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(2 * x))
    assert len(np.unique(found.detach())) > 1
    found.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in prepared.parameters())


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("weights", ENCODINGS)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_equals_the_golden_model_in_every_bit(random_layer, moved, cell: Cell, weights, scale):
    network = Network((random_layer("cell", cell, seed=7),))
    check(network, weights, scale, "delta" if scale == "real" else "none", moved)


@pytest.mark.parametrize("form", ["variance", "mad"])
@pytest.mark.parametrize("weights", ENCODINGS)
def test_layers_that_are_normalised(random_layer, moved, weights, form):
    layer = random_layer("cell", cells.GRU(3, 5))

    def normalised(output):
        return layer_norm((output,), constant, "norm", form, 1e-5)[0]

    graph = with_output(layer.graph, normalised)
    rng = np.random.default_rng(2)
    names = [node.name for node in graph.nodes if node.name.startswith("norm_")]
    parameters = {**layer.parameters, **{name: rng.normal(size=5) for name in names}}
    check(Network((Layer("cell", "GRU", graph, parameters),)), weights, "real", "none", moved)
