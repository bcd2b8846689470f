# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import ProjectedLSTM
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.state_store import StateStore

SIZES = {"h": 2, "c": 7}


@pytest.fixture(scope="module")
def folded(integer_network):
    return schedule(integer_network(ProjectedLSTM(3, 7, 2)), 3, registers=True).layers[0]


def run(bench, store, actions, cycles):
    """Members of the store, set by ``actions`` in some cycles; what it hands back and when."""
    seen = {"h": [], "c": [], "done": [], "read": {}}

    async def drive(ctx):
        for cycle in range(cycles):
            for name, value in actions.get(cycle, {}).items():
                ctx.set(getattr(store, name), value)
            for name in SIZES:
                if ctx.get(getattr(store, f"loading_{name}")):
                    value = ctx.get(getattr(store, f"loaded_{name}"))
                    seen[name].append((cycle, ctx.get(store.index), value))
            if ctx.get(store.done):
                seen["done"].append(cycle)
            seen["read"][cycle] = (ctx.get(store.read_h), ctx.get(store.read_c))
            await ctx.tick()

    bench(store, drive)
    return seen


def test_what_is_written_is_handed_back(bench, folded):
    values = {"h": [5, -6], "c": [11, -12, 13, -14, 15, -16, 17]}
    actions = {}
    for bit, given in enumerate(values.values()):
        for place, value in enumerate(given):
            actions[len(actions)] = {"address": place, "write": 1 << bit, "data": value}
    begin = len(actions)
    actions[begin] = {"write": 0, "load": 1}
    actions[begin + 1] = {"load": 0}
    seen = run(bench, StateStore(folded), actions, begin + 40)
    for name, given in values.items():
        assert [index for _, index, _ in seen[name]] == list(range(SIZES[name]))
        assert [value for _, _, value in seen[name]] == given
        ends = [cycle for cycle, _, _ in seen[name]]
        assert ends == list(range(ends[0], ends[0] + len(given)))
    assert folded.load_size == 7
    assert seen["done"] == [begin + folded.load_cycles]


def test_it_keeps_what_timesteps_give(bench, folded):
    """The last timestep's elements, whatever was there; the host reads a cycle later."""
    rng = np.random.default_rng(0)
    steps = rng.integers(-30, 30, (3, 7))
    actions = {0: {"address": 3, "write": 2, "data": 29}, 1: {"write": 0}}
    for step, row in enumerate(steps):
        for unit, value in enumerate(row.tolist()):
            actions[2 + 7 * step + unit] = {
                "valid_c": 1,
                "unit_c": unit,
                "value_c": value,
            }
    end = 2 + steps.size
    actions[end] = {"valid_c": 0}
    for unit in range(7):
        actions.setdefault(end + 1 + unit, {})["address"] = unit
    seen = run(bench, StateStore(folded), actions, end + 10)
    assert [seen["read"][end + 2 + unit][1] for unit in range(7)] == steps[-1].tolist()
