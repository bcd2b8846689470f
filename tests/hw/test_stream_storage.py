# amaranth: UnusedElaboratable=no

import re
from collections import Counter

import numpy as np
import pytest
from amaranth.back import rtlil

from deltaloom.compiler.cells import Linear
from deltaloom.compiler.network import (
    Concatenate,
    Embedding,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
)
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import GENERIC, Target
from deltaloom.hw.accelerator import Accelerator
from deltaloom.hw.storage import layer_memories
from deltaloom.hw.stream_storage import stream_memories

MEMORY = re.compile(r"((?: *attribute [^\n]*\n)*) *memory width (\d+) size (\d+) ")
TABLE = np.random.default_rng(0).normal(size=(70, 3))


@pytest.mark.parametrize("target", [GENERIC, Target(False, False)], ids=["ecp5", "ice40"])
def test_lists_every_memory_between_the_engines(random_layer, target):
    layers = (
        Embedding("words", TABLE),
        Reverse("back", 9),
        Window("w", 3, padding=(1, 1), sources=("words",)),
        Concatenate("c", sources=("back", "w")),
        random_layer("a", Linear(12, 5)),
        Sum("sum", sources=("a", "a")),
        Pool("mean", "mean", 40),
        Pool("largest", "max", sources=("sum",)),
        Concatenate("both", sources=("mean", "largest")),
    )
    x = np.random.default_rng(1).integers(0, 70, (3, 9, 1))
    network = quantize(Network(layers), x)
    folded = schedule(network, 2, target)
    text = rtlil.convert(Accelerator(network, folded), name="top", emit_src=False)
    found = Counter()
    for attributes, width, depth in MEMORY.findall(text):
        style = re.search(r'\\ram_style "(\w+)"', attributes)
        found[int(width), int(depth), style[1] == "block"] += 1
    pools = ("mean_results", "largest_results")  # a second reader of a memory
    listed = Counter(
        (m.width, max(2, m.depth) - ("queue" in m.name), m.block_ram)
        for m in (*stream_memories(network, target), *layer_memories(folded.layers[0]))
        if m.name not in pools
    )
    assert found == listed
