from dataclasses import replace

import numpy as np

from deltaloom.compiler.cells import GRU, LSTM, RNN, SRU, LiGRU, Linear
from deltaloom.compiler.saturation import cut_at_start, saturating_states


def test_states_that_a_format_cuts_off(integer_network):
    def found(cell):
        (layer,) = integer_network(cell).layers
        return saturating_states(layer.graph), layer.graph

    for cell, names in [(LSTM(3, 4), {"h", "c"}), (GRU(3, 4), {"h"}), (LiGRU(3, 4), {"h"})]:
        states, graph = found(cell)
        assert states.keys() == names
        nodes = {node.name: node for node in graph.nodes}
        assert all(type(nodes[node]).__name__ == "Rescale" for node in states.values())
    assert found(SRU(3, 3))[0].keys() == {"c"}
    assert found(RNN(3, 4))[0].keys() == {"h"}
    assert found(Linear(3, 4))[0] == {}


def test_values_of_a_start_that_are_cut_off(integer_network):
    (layer,) = integer_network(GRU(2, 4)).layers
    x, h = layer.operands
    state = layer.graph.nodes[h.source]
    shift = state.format.frac - h.format.frac
    assert shift > 0
    assert cut_at_start(layer, x) == cut_at_start(layer, h) == 0
    most = (h.format.max << shift) + (1 << shift - 1) - 1  # the largest that rounds into it
    start = np.array([most, most + 1, -most, state.format.min])
    low = (h.format.min << shift) - (1 << shift - 1) > state.format.min
    assert cut_at_start(replace(layer, initial={"h": start}), h) == 1 + low
