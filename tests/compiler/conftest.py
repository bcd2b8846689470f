"""Float layers and networks with random weights, for every test of the compiler."""

import numpy as np
import pytest
import torch

from deltaloom.compiler.cell import trace
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import trace_module
from deltaloom.compiler.network import Layer, Network, parameter_shapes


@pytest.fixture
def make_layer():
    def make(name, cell, *, seed=0, scale=None):
        rng = np.random.default_rng(seed)
        graph = trace(cell)
        scale = scale or cell.hidden_size**-0.5
        parameters = {
            key: rng.uniform(-scale, scale, shape) for key, shape in parameter_shapes(graph).items()
        }
        return Layer(name, type(cell).__name__, graph, parameters)

    return make


@pytest.fixture
def make_network(make_layer):
    """A network of cells; its layers are called ``rnn.0``, ``rnn.1``, ..."""

    def make(*cells, seed=0, scale=None):
        return Network(
            tuple(
                make_layer(f"rnn.{index}", cell, seed=seed + index, scale=scale)
                for index, cell in enumerate(cells)
            )
        )

    return make


@pytest.fixture
def check_torch():
    """``check_torch(module, features)``: the network computes what the module does, in float64.

    Lengths of axes all differ, so that a network with other axes than the module fails. ``entries``
    makes the input indices of an embedding. Returns the network.
    """

    def check(module, features=3, *, batch=5, time=17, entries=None):
        module = module.double().eval()
        traced = trace_module(module, max_steps=time)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(batch, time, features))
        if entries:
            x = rng.integers(0, entries, (batch, time, 1))
        names = ("batch", "time", "features")
        order = [names.index(axis) for axis in traced.axes["input"]]
        given = torch.tensor(x[..., 0] if entries else x)
        with torch.no_grad():
            wanted = module(given.permute(order))
        wanted = (wanted[0] if isinstance(wanted, tuple) else wanted).numpy()
        axes = [axis for axis in names if axis in traced.output_axes]
        wanted = wanted.transpose([traced.output_axes.index(axis) for axis in axes])
        if "features" not in axes:
            wanted = wanted[..., None]
        found = evaluate(traced.network, x)
        assert found.shape == wanted.shape
        # sums of some 50 products of size one, each within 2**-53, through a few layers
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
        return traced.network

    return check
