# amaranth: UnusedElaboratable=no

from types import SimpleNamespace

import numpy as np
import pytest

from deltaloom.compiler.integer import Skip
from deltaloom.compiler.schedule import RECEIVER_LATENCY, spacing
from deltaloom.hw.receiver import Receiver

MEMBERS = ("valid", "index", "value", "fresh", "buffer", "last", "index_ahead")


def receive(bench, dut, elements, *, release=None, gap=0.0, seed=0, cap=4000):
    """Feed elements (value, last). ``release(held, rng)`` says when the older list is given back.

    Returns, for each element that left, its cycle and members; and, for each cycle in which a
    vector ended, the lists' markers.
    """
    rng = np.random.default_rng(seed)
    size = dut._operand.size
    log = SimpleNamespace(left=[], taken=[], markers=[], most=0)
    release = release or (lambda held, rng: held > 0)

    async def run(ctx):
        waiting = list(elements)
        held, rest = 0, 0
        before = [0] * RECEIVER_LATENCY
        for cycle in range(cap):
            released = held > 0 and release(held, rng)
            offer = bool(waiting) and rng.random() >= gap
            ctx.set(dut.released, released)
            ctx.set(dut.i.valid, offer)
            if offer:
                ctx.set(dut.i.p.value, waiting[0][0])
                ctx.set(dut.i.p.last, waiting[0][1])
            ready = ctx.get(dut.i.ready)
            seen = {name: ctx.get(getattr(dut, name)) for name in MEMBERS}
            if seen["valid"]:
                assert seen["index"] == before[0]
                log.left.append((cycle, seen))
            before = [*before[1:], seen["index_ahead"]]
            log.markers.append((ctx.get(dut.firsts), ctx.get(dut.lasts)))
            await ctx.tick()
            held -= released
            if offer and ready:
                waiting.pop(0)
                log.taken.append(cycle)
                held += len(log.taken) % size == 0
            log.most = max(log.most, held)
            rest = 0 if waiting else rest + 1
            if rest > 4:
                return

    bench(dut, run)
    return log


def sequences(rng, size, lengths):
    """Elements of whole sequences; ``last`` is random but on a vector's last element."""
    elements = []
    for length in lengths:
        for step in range(length):
            for index in range(size):
                ends = step == length - 1 if index == size - 1 else rng.random() < 0.5
                elements.append((int(rng.integers(-32, 32)), bool(ends)))
    return elements


@pytest.mark.parametrize("skip", [Skip.NONE, Skip.DELTA])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize("pressure", [False, True], ids=["flowing", "pressed"])
def test_counts(bench, operand, skip, size, pressure):
    rng = np.random.default_rng(0)
    lengths = (3, 1, 1, 5, 2)
    elements = sequences(rng, size, lengths)
    dut = Receiver(operand(size), skip)
    options = {"gap": 0.3, "release": lambda held, rng: rng.random() < 0.1} if pressure else {}
    log = receive(bench, dut, elements, **options)
    assert log.taken == [cycle - RECEIVER_LATENCY for cycle, _ in log.left]
    firsts = [step == 0 for length in lengths for step in range(length)]
    for place, (_, seen) in enumerate(log.left):
        vector, index = divmod(place, size)
        assert (seen["value"], seen["index"]) == (elements[place][0], index)
        assert seen["buffer"] == vector % 2
        assert seen["last"] == (index == size - 1)
        assert seen["fresh"] == firsts[vector]
    assert len(log.left) == len(elements)


@pytest.mark.parametrize("skip", [Skip.NONE, Skip.DELTA])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11])
def test_pauses_only_where_a_hat_would_be_read_early(bench, operand, skip, size):
    elements = sequences(np.random.default_rng(0), size, (9,))
    log = receive(bench, Receiver(operand(size), skip), elements)
    starts = np.array(log.taken[::size])
    np.testing.assert_array_equal(np.diff(starts), max(size, spacing(skip)))
    for start in range(0, len(elements), size):
        assert log.taken[start + size - 1] == log.taken[start] + size - 1


def test_both_lists_may_be_held_and_no_third(bench, operand):
    elements = sequences(np.random.default_rng(0), 5, (6,))
    dut = Receiver(operand(5), Skip.ZERO)
    log = receive(bench, dut, elements, release=lambda held, rng: False, cap=100)
    assert log.most == 2
    assert len(log.taken) == 2 * 5
    # A release in one cycle lets the next element in a cycle later.
    log = receive(bench, dut := Receiver(operand(5), Skip.ZERO), elements, cap=400,
                  release=lambda held, rng: held == 2 and rng.random() < 0.2)  # fmt: skip
    assert log.most == 2
    assert len(log.taken) == len(elements)


def test_marks_first_and_last_vectors_of_each_list(bench, operand):
    size, lengths = 3, (2, 1, 1, 4)
    elements = sequences(np.random.default_rng(0), size, lengths)
    log = receive(bench, Receiver(operand(size), Skip.NONE), elements)
    firsts = [step == 0 for length in lengths for step in range(length)]
    lasts = [step == length - 1 for length in lengths for step in range(length)]
    for vector in range(len(firsts)):
        cycle, _ = log.left[vector * size + size - 1]
        first, last = log.markers[cycle]
        assert (first >> vector % 2 & 1, last >> vector % 2 & 1) == (firsts[vector], lasts[vector])
