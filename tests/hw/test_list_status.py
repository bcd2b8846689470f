# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.cells import RNN, Linear
from deltaloom.compiler.schedule import schedule
from deltaloom.hw.list_status import ListStatus


class Lists:
    """Entries of both buffers, counted plainly."""

    def __init__(self, recurrent):
        self.recurrent = recurrent
        self.x, self.h = [0, 0], [0, 0]
        self.closed, self.ready = [False, False], [False, False]

    def cycle(self, events):
        for kind, counts in (("x", self.x), ("h", self.h)):
            counts[events[f"{kind}_buffer"]] += events[f"{kind}_wrote"]
        at = events["x_buffer"]
        if events["x_closed"]:
            self.ready[at] = True
            self.closed[at] |= not self.recurrent or bool(events["x_first"] >> at & 1)
        if events["h_closed"]:
            self.closed[events["h_buffer"]] = True
        if events["released"]:
            at = events["buffer"]
            self.x[at] = self.h[at] = 0
            self.closed[at] = self.ready[at] = False


def amount(count):
    return count, int(count > 0), int(count > 1)


@pytest.mark.parametrize(
    "cell",
    [RNN(3, 5), RNN(1, 1), RNN(13, 2), Linear(4, 3)],
    ids=lambda c: f"{type(c).__name__}-{c.input_size}-{c.hidden_size}",
)
def test_counts(bench, integer_network, cell):
    (folded,) = schedule(integer_network(cell), 1).layers
    recurrent, rng = folded.layer.recurrent, np.random.default_rng(0)
    dut, lists = ListStatus(folded), Lists(recurrent)
    sizes = (cell.input_size, cell.hidden_size)

    async def run(ctx):
        buffer = 0
        for _ in range(1200):
            x_buffer, h_buffer = rng.integers(0, 2, 2).tolist()
            released = bool(rng.random() < 0.1)
            kept = [b for b in (0, 1) if not (released and b == buffer)]
            x_free = x_buffer in kept and not lists.ready[x_buffer]
            h_free = recurrent and h_buffer in kept and not lists.closed[h_buffer]
            events = {
                "x_wrote": x_free and lists.x[x_buffer] < sizes[0] and rng.random() < 0.6,
                "h_wrote": h_free and lists.h[h_buffer] < sizes[1] and rng.random() < 0.6,
                "x_closed": x_free and rng.random() < 0.2,
                "h_closed": h_free and rng.random() < 0.2,
                "x_buffer": x_buffer,
                "h_buffer": h_buffer,
                "x_first": int(rng.integers(0, 4)),
                "buffer": buffer,
                "released": released,
            }
            for name, value in events.items():
                ctx.set(getattr(dut, name), int(value))
            for prefix, at in (("", buffer), ("other_", 1 - buffer)):
                h_now = lists.h[at] + (events["h_wrote"] and h_buffer == at)
                x_now = lists.x[at] + (events["x_wrote"] and x_buffer == at)
                expected = {"x": lists.x[at], "both": x_now + h_now}
                if not prefix:
                    expected["h"] = h_now
                    assert ctx.get(dut.grows) == (events["h_wrote"] and h_buffer == at)
                for name, count in expected.items():
                    got = ctx.get(getattr(dut, prefix + name))
                    assert (got.count, got.some, got.many) == amount(count), prefix + name
                assert ctx.get(getattr(dut, f"{prefix}closed")) == lists.closed[at]
                assert ctx.get(getattr(dut, f"{prefix}ready")) == lists.ready[at]
            lists.cycle(events)
            buffer ^= released
            await ctx.tick()

    bench(dut, run)
