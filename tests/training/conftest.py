"""Random float networks of every kind, and modules prepared from them."""

import numpy as np
import pytest

from deltaloom.compiler.cell import trace
from deltaloom.compiler.network import Layer, parameter_shapes


@pytest.fixture
def random_layer():
    def make(name, cell, *, seed=0, scale=1.0, sources=()):
        rng = np.random.default_rng(seed)
        graph = trace(cell)
        parameters = {
            key: rng.normal(size=shape) * (scale / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)
            for key, shape in parameter_shapes(graph).items()
        }
        return Layer(name, type(cell).__name__, graph, parameters, sources)

    return make
