import pytest

from deltaloom.compiler.cells import GRU, LSTM, RNN, LiGRU, Linear, ReluRNN
from deltaloom.compiler.gate_schedule import (
    ACTIVATION_LATENCY,
    MULTIPLIER_LATENCY,
    RESCALE_LATENCY,
)
from deltaloom.compiler.graph import Activation, Add, Affine, Mul, Rescale, State, Sub
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule

CELLS = [LSTM(3, 5), GRU(3, 5), RNN(3, 5), ReluRNN(3, 5), Linear(3, 5), Linear(3, 5, "tanh")]
RECIPES = {"8 bits": Recipe(), "wide": Recipe("int16", "int15"), "narrow": Recipe(elementwise=9)}
LATENCIES = {Mul: MULTIPLIER_LATENCY, Rescale: RESCALE_LATENCY, Add: 0, Sub: 0}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_every_value_comes_as_soon_as_its_operands_allow(integer_network, cell, recipe):
    folded = schedule(integer_network(cell, recipe=RECIPES[recipe]), 4).layers[0].output
    graph, times = folded.layer.graph, folded.times
    for position, node in enumerate(graph.nodes):
        if position not in times or isinstance(node, State):
            continue
        if isinstance(node, Affine):
            assert times[position] == 0
            continue
        relu = isinstance(node, Activation) and node.function == "relu"
        latency = 0 if relu else LATENCIES.get(type(node), ACTIVATION_LATENCY)
        assert times[position] == max(times[operand] for operand in node.operands) + latency


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_states_are_read_just_in_time(integer_network, cell, recipe):
    """As late as the first element-wise reader's other operand, and never later."""
    folded = schedule(integer_network(cell, recipe=RECIPES[recipe]), 4).layers[0].output
    graph, times = folded.layer.graph, folded.times
    for state in folded.stage.states:
        readers = [
            graph.nodes[reader]
            for reader in graph.readers(state)
            if reader in times and not isinstance(graph.nodes[reader], Affine)
        ]
        assert readers
        starts = [max(times[o] for o in node.operands) for node in readers]
        assert times[state] == min(starts)


def test_memories(integer_network):
    """A state that only products read lives in its list, and needs no memory."""
    for cell, names in (
        (LSTM(3, 5), ["c"]),
        (GRU(3, 5), ["h"]),
        (RNN(3, 5), []),
        (Linear(3, 5), []),
    ):
        folded = schedule(integer_network(cell), 4).layers[0].output
        assert [folded.layer.graph.nodes[p].name for p in folded.stage.states] == names


@pytest.mark.parametrize("recipe", [Recipe("int16", "int16"), Recipe(elementwise=8)], ids=str)
@pytest.mark.parametrize("cell", [GRU(3, 5), LiGRU(3, 5)], ids=lambda c: type(c).__name__)
def test_a_state_may_be_an_operand_as_it_is(integer_network, cell, recipe):
    """Operands as wide as the state: products and element-wise nodes read the same node."""
    folded = schedule(integer_network(cell, recipe=recipe), 4).layers[0].output
    (state,) = folded.stage.states
    assert folded.layer.operands[1].node == state
