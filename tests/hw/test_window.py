# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.streams import Window as Layer
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.window import Window

LENGTHS = (7, 5, 5, 12, 6, 5, 5, 5)


def windows(layer, beats, lengths, size):
    """By padding, then slicing; ``last`` on all of a sequence's last window."""
    values = np.array([beat["value"] for beat in beats]).reshape(-1, size)
    found = []
    for part in np.split(values, np.cumsum(lengths)[:-1]):
        padded = np.pad(part, (layer.padding, (0, 0)))
        span = layer.dilation * (layer.kernel - 1) + 1
        shown = [
            padded[start : start + span : layer.dilation].ravel().tolist()
            for start in range(0, len(padded) - span + 1, layer.stride)
        ]
        found += [
            {
                "value": value,
                "last": int(number == len(shown) - 1),
                "end": int(place == len(window) - 1),
            }
            for number, window in enumerate(shown)
            for place, value in enumerate(window)
        ]
    return found


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [
        (1, 1, 1, (0, 0)),
        (1, 3, 1, (0, 0)),
        (2, 1, 1, (0, 0)),
        (3, 1, 1, (1, 1)),
        (3, 1, 1, (2, 0)),
        (3, 1, 2, (0, 4)),
        (2, 2, 3, (3, 0)),
        (4, 3, 2, (2, 6)),
        (2, 7, 1, (1, 1)),
        (5, 2, 1, (4, 4)),
    ],
)
def test_shows_what_a_convolution_sees(
    stream, vectors, kernel, stride, dilation, padding, size, stall
):
    layer = Layer("w", kernel, stride, dilation, padding)
    beats = vectors(LENGTHS, size)
    seen = stream(Window(layer, Format(6, 0), size, GENERIC), beats, stall=stall)
    assert seen == windows(layer, beats, LENGTHS, size)


@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_a_sequence_that_is_too_short_is_an_error_and_one_window(stream, vectors, padding):
    layer = Layer("w", 3, 2, 3, padding)
    shortest = layer.lost + 1
    lengths = (shortest, 1, shortest - 1, shortest + 1, 1, 1)
    beats = vectors(lengths, 2)
    dut = Window(layer, Format(6, 0), 2, GENERIC)
    seen = stream(dut, beats)
    filled, place = [], 0
    for length in lengths:
        sequence = [dict(beat, last=0) for beat in beats[place : place + 2 * length]]
        place += 2 * length
        missing = max(0, shortest - length)
        filled += sequence + [{"value": 0, "last": 0, "end": at} for at in (0, 1)] * missing
        filled[-1]["last"] = 1
    assert seen == windows(layer, filled, [max(shortest, length) for length in lengths], 2)


def test_errors_are_counted(bench):
    layer = Layer("w", 3)
    dut = Window(layer, Format(6, 0), 1, GENERIC)
    errors = []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.p.end, 1)
        ctx.set(dut.o.ready, 1)
        for length in (3, 2, 1, 4):
            for step in range(length):
                ctx.set(dut.i.p.last, step == length - 1)
                ready = False
                while not ready:
                    _, _, ready, error = await ctx.tick().sample(dut.i.ready, dut.error)
                    errors.append(error)
        ctx.set(dut.i.valid, 0)
        for _ in range(20):
            _, _, error = await ctx.tick().sample(dut.error)
            errors.append(error)

    bench(dut, run)
    assert sum(errors) == 2


def test_takes_an_element_a_cycle_and_starts_two_cycles_after(bench):
    dut = Window(Layer("w", 3), Format(6, 0), 1, GENERIC)
    taken, valid = [], []

    async def run(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.p.end, 1)
        for _ in range(8):
            _, _, ready, there = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            taken.append(ready)
            valid.append(there)

    bench(dut, run)
    assert taken == [1] * 4 + [0] * 4  # nobody reads
    assert valid == [0] * 4 + [1] * 4
