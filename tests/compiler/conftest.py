"""Float layers and networks with random weights, for every test of the compiler."""

import numpy as np
import pytest

from deltaloom.compiler.cell import trace
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
