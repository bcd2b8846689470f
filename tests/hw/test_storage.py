# amaranth: UnusedElaboratable=no

import re
from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil

from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    Linear,
    PeepholeConvLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    ReluRNN,
    ResetBeforeGRU,
)
from deltaloom.compiler.graph import State
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import GENERIC, Target
from deltaloom.hw.conv_engine import ConvolutionalEngine
from deltaloom.hw.engine import Engine
from deltaloom.hw.ram_style import in_block_ram, ram_attributes
from deltaloom.hw.storage import layer_memories

MEMORY = re.compile(r"((?: *attribute [^\n]*\n)*) *memory width (\d+) size (\d+) ")


@pytest.mark.parametrize(
    ("skip", "target"),
    [("none", GENERIC), ("delta", GENERIC), ("zero", Target(False, False))],
    ids=["ecp5-none", "ecp5-delta", "ice40-zero"],
)
@pytest.mark.parametrize(
    ("cell", "lanes"),
    [
        (LSTM(7, 70), 16),
        (GRU(3, 5), 2),
        (RNN(66, 5), 3),
        (ReluRNN(1, 1), 1),
        (Linear(5, 3), 2),
        (Linear(2, 90, "tanh"), 4),
        (PeepholeLSTM(2, 3), 4),
        (ProjectedLSTM(7, 70, 5), 16),
        (ResetBeforeGRU(3, 67), 8),
    ],
    ids=lambda value: getattr(type(value), "__name__", None) if hasattr(value, "step") else None,
)
def test_lists_every_memory_of_the_engine(integer_network, cell, lanes, target, skip):
    network = integer_network(cell, recipe=Recipe(skip=skip))
    (folded,) = schedule(network, {"l.0": lanes}, target).layers
    text = rtlil.convert(Engine(folded), name="top", emit_src=False)
    found = []
    for attributes, width, depth in MEMORY.findall(text):
        style = re.search(r'\\ram_style "(\w+)"', attributes)
        found.append((int(width), int(depth), style[1] == "block"))
    # The queue's last word is a register.
    listed = [
        (m.width, max(2, m.depth) - (m.name == "queue"), m.block_ram)
        for m in layer_memories(folded)
    ]
    assert sorted(found) == sorted(listed)


@pytest.mark.parametrize("skip", ["none", "delta"])
def test_lists_every_memory_that_windows_take(integer_network, skip):
    network = integer_network(PeepholeConvLSTM(2, 3, (3, 5), 3), recipe=Recipe(skip=skip))
    (folded,) = schedule(network, {"l.0": 5}).layers
    text = rtlil.convert(ConvolutionalEngine(folded), name="top", emit_src=False)
    found = sorted((int(width), int(depth)) for _, width, depth in MEMORY.findall(text))
    queues = ("queue", "spans")  # whose last word is a register
    listed = [(m.width, max(2, m.depth) - (m.name in queues)) for m in layer_memories(folded)]
    assert found == sorted(listed)


@pytest.mark.parametrize("skip", ["none", "delta"])
@pytest.mark.parametrize(
    "cell", [LSTM(7, 70), ResetBeforeGRU(3, 5)], ids=lambda cell: type(cell).__name__
)
def test_lists_what_states_take(integer_network, cell, skip):
    """Those that a host loads, and those that the layer starts from."""
    (layer,) = integer_network(cell, recipe=Recipe(skip=skip)).layers
    sizes = {state.name: state.size for _, state in layer.graph.of(State)}
    initial = {name: np.arange(1, size + 1) for name, size in sizes.items()}
    network = IntegerNetwork((replace(layer, initial=initial),))
    (folded,) = schedule(network, {"l.0": 4}, registers=True).layers
    text = rtlil.convert(Engine(folded), name="top", emit_src=False)
    found = sorted((int(width), int(depth)) for _, width, depth in MEMORY.findall(text))
    listed = [(m.width, max(2, m.depth) - (m.name == "queue")) for m in layer_memories(folded)]
    assert found == sorted(listed)


def test_small_memories_are_distributed_where_there_are_such():
    assert not in_block_ram(64, GENERIC)
    assert in_block_ram(65, GENERIC)
    assert in_block_ram(1, Target(distributed_memory=False))
    assert ram_attributes(64, GENERIC)["ram_style"] == "distributed"
    assert ram_attributes(65, GENERIC)["ram_style"] == "block"
    assert ram_attributes(2, Target(distributed_memory=False))["ram_style"] == "block"
    assert ram_attributes(65, GENERIC, rom=True)["ram_style"] == "block"
    assert ram_attributes(64, GENERIC, rom=True).get("ram_style") != "block"
