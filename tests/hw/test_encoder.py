# amaranth: UnusedElaboratable=no

import itertools

import numpy as np
import pytest

from deltaloom.compiler.integer import Skip
from deltaloom.compiler.schedule import pause_after, spacing
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.encoder import Encoder, entry_layout
from deltaloom.sim.columns import selected

AHEAD = 2  # cycles in which an element's hat is read before it comes
INPUTS = ("valid", "index", "value", "fresh", "listed", "buffer", "last")


def vectors_for(operand, rng, count):
    """Values that stand still, creep, and jump between the format's ends."""
    low, high = operand.format.min, operand.format.max
    values = rng.integers(low, high + 1, operand.size)
    found = []
    for _ in range(count):
        kinds = rng.integers(0, 5, operand.size)
        creep = values + rng.integers(-3, 4, operand.size)
        jump = rng.choice([low, high, 0], operand.size)
        values = np.choose(kinds, [values, creep, jump, -values, 0 * values]).clip(low, high)
        found.append((values, bool(rng.random() < 0.2), bool(rng.random() < 0.8)))
    return found


def lists_of(operand, skip, vectors):
    """For each vector the entries that it is listed with; its definition, in NumPy."""
    hat = np.zeros(operand.size, dtype=np.int64)
    for values, fresh, listed in vectors:
        if fresh:
            hat = np.zeros_like(hat)
        match skip:
            case Skip.NONE:
                factors, keep = values, np.ones(operand.size, dtype=bool)
            case Skip.ZERO:
                factors, keep = values, values != 0
            case Skip.DELTA:
                factors = values - hat
                keep = abs(factors) >= max(1, operand.theta)
                hat = np.where(keep, values, hat)
            case Skip.TOP_K:
                factors = values - hat
                keep = selected(factors, operand.kept or operand.size)
                if listed:
                    hat = np.where(keep, values, hat)
        entries = [(int(i), int(factors[i])) for i in np.flatnonzero(keep)] if listed else []
        if operand.selected:
            entries.sort(key=lambda entry: -abs(entry[1]))
        yield entries


def fresh_behind_unlisted(vectors):
    """The same vectors, as a layer makes them: behind a sequence's last one the next begins."""
    before = (False, *(not listed for *_, listed in vectors[:-1]))
    return [(v, f or new, listed) for (v, f, listed), new in zip(vectors, before, strict=True)]


def played(operand, skip, vectors, rng, gap, apart=0):
    """Inputs of every cycle, and the cycle of every element; vectors go to the lists in turn."""
    inputs = {name: [] for name in INPUTS}
    places = []

    def cycle(**values):
        for name in INPUTS:
            previous = inputs[name][-1] if inputs[name] else 0
            inputs[name].append(values.get(name, 0 if name == "valid" else previous))

    for _ in range(AHEAD):
        cycle()
    for number, (values, fresh, listed) in enumerate(vectors):
        for index, value in enumerate(values):
            while places and (
                rng.random() < gap
                or (index == 0 and len(inputs["valid"]) - places[-operand.size] < spacing(skip))
            ):
                cycle()
            places.append(len(inputs["valid"]))
            cycle(
                valid=1,
                index=index,
                value=value,
                fresh=fresh,
                listed=listed,
                buffer=number % 2,
                last=index == operand.size - 1,
            )
        for _ in range(apart):
            cycle()
    for _ in range(Encoder.latency):
        cycle()
    return inputs | {"index_ahead": ahead(inputs["index"])}, places


def ahead(index):
    """For each cycle the index that comes :data:`AHEAD` cycles later."""
    return np.concatenate([index[AHEAD:], [0] * AHEAD])


@pytest.mark.parametrize(
    ("skip", "theta"),
    [
        (Skip.NONE, 0),
        (Skip.ZERO, 0),
        (Skip.DELTA, 0),
        (Skip.DELTA, 1),
        (Skip.DELTA, 5),
        (Skip.DELTA, 63),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 13])
@pytest.mark.parametrize("gap", [0.0, 0.4], ids=["flowing", "gaps"])
def test_lists(cycles, operand, skip, theta, size, gap):
    """Vectors come two by two into both lists, which are then read back."""
    rng = np.random.default_rng(size)
    x = operand(size, width=6, theta=theta)
    vectors = vectors_for(x, rng, 24)
    want = list(lists_of(x, skip, vectors))
    inputs, _ = played(x, skip, vectors, rng, gap)
    # Reading takes place between pairs: stretch time behind every second vector.
    ends = np.flatnonzero(np.array(inputs["last"]) & np.array(inputs["valid"]))[1::2]
    pause = Encoder.latency + 2 * size + 3
    repeats = np.ones(len(inputs["valid"]), dtype=int)
    repeats[ends] += pause
    stretched = {name: np.repeat(values, repeats) for name, values in inputs.items()}
    stretched["read_address"] = np.zeros(repeats.sum(), dtype=int)
    stretched["read_buffer"] = np.zeros(repeats.sum(), dtype=int)
    starts = np.cumsum(repeats)[ends] - pause
    for start in starts:
        stretched["valid"][start : start + pause] = 0
        for read in range(2 * size):
            at = start + Encoder.latency + read
            stretched["read_buffer"][at], stretched["read_address"][at] = divmod(read, size)
    stretched["index_ahead"] = ahead(stretched["index"])
    entries = cycles(Encoder(x, skip, GENERIC), stretched, ["entry"])["entry"]
    for pair, start in enumerate(starts):
        for buffer in (0, 1):
            expected = want[2 * pair + buffer]
            first = start + Encoder.latency + 1 + buffer * size
            got = [(e["index"], e["value"]) for e in entries[first : first + len(expected)]]
            assert got == expected


@pytest.mark.parametrize("skip", list(Skip))
@pytest.mark.parametrize("gap", [0.0, 0.5], ids=["flowing", "gaps"])
def test_tells_what_it_writes(cycles, operand, skip, gap):
    """An entry is there ``latency`` cycles after its element; the list's end comes with it."""
    rng = np.random.default_rng(1)
    x = operand(6, theta=3)
    vectors = vectors_for(x, rng, 12)
    inputs, places = played(x, skip, vectors, rng, gap, apart=6)
    dut = Encoder(x, skip, GENERIC)
    seen = cycles(dut, inputs, ["wrote", "closed", "wrote_buffer"])
    wrote, closed = [], []
    for number, entries in enumerate(lists_of(x, skip, vectors)):
        here = places[number * x.size : (number + 1) * x.size]
        wrote += [(here[index] + dut.latency - 1, number % 2) for index, _ in entries]
        if vectors[number][2]:
            closed.append((here[-1] + dut.latency - 1, number % 2))
    for name, want in (("wrote", wrote), ("closed", closed)):
        at = np.flatnonzero(seen[name]).tolist()
        assert [(cycle, seen["wrote_buffer"][cycle]) for cycle in at] == want


@pytest.mark.parametrize("gap", [0.0, 0.4], ids=["flowing", "gaps"])
@pytest.mark.parametrize(
    ("size", "kept"), [(1, 1), (2, 1), (5, 2), (7, 7), (9, 8), (13, 1), (13, 5)]
)
def test_as_many_as_are_kept(cycles, operand, size, kept, gap):
    """Always as many entries, in cycles that the data do not change; then they are read."""
    rng = np.random.default_rng(size)
    x = operand(size, width=6, kept=kept)
    vectors = fresh_behind_unlisted(vectors_for(x, rng, 20))
    pause = pause_after(x, Skip.TOP_K)
    inputs, places = played(x, Skip.TOP_K, vectors, rng, gap, apart=pause)
    total = len(inputs["valid"]) + kept + 4
    inputs = {name: np.resize(values, total) for name, values in inputs.items()}
    inputs["valid"][-kept - 4 :] = 0
    inputs |= {name: np.zeros(total, dtype=int) for name in ("read_address", "read_buffer")}
    dut = Encoder(x, Skip.TOP_K, GENERIC)
    for number in range(len(vectors)):
        start = places[(number + 1) * size - 1] + pause + dut.latency
        inputs["read_buffer"][start : start + kept] = number % 2
        inputs["read_address"][start : start + kept] = np.arange(kept)
    seen = cycles(dut, inputs, ["wrote", "closed", "wrote_buffer", "entry"])
    wrote, closed = [], []
    for number, entries in enumerate(lists_of(x, Skip.TOP_K, vectors)):
        here = places[number * size : (number + 1) * size]
        if not vectors[number][2]:
            assert entries == []
            continue
        assert len(entries) == kept
        if x.selected:
            times = [here[-1] + dut.latency + n for n in range(kept)]
        else:
            times = [at + dut.latency - 1 for at in here]
        wrote += [(cycle, number % 2) for cycle in times]
        closed.append((times[-1], number % 2))
        start = places[(number + 1) * size - 1] + pause + dut.latency + 1
        got = [(e["index"], e["value"]) for e in seen["entry"][start : start + kept]]
        assert got == entries
    for name, want in (("wrote", wrote), ("closed", closed)):
        at = np.flatnonzero(seen[name]).tolist()
        assert [(cycle, seen["wrote_buffer"][cycle]) for cycle in at] == want


def test_a_difference_may_need_one_more_bit(operand):
    x = operand(5, width=6)
    widths = [entry_layout(x, skip)["value"].width for skip in Skip]
    assert widths == [6, 6, 7, 7]
    assert [entry_layout(operand(n), Skip.ZERO)["index"].width for n in (1, 2, 3, 8, 9)] == [
        1, 1, 2, 3, 4,
    ]  # fmt: skip


def test_every_difference(cycles, operand):
    """Every pair of values of a small format, at every threshold."""
    for theta in range(16):
        x = operand(4, width=3, theta=theta)
        pairs = list(itertools.product(range(-4, 4), repeat=2))
        vectors = [
            (np.array([pair[step] for pair in pairs[n : n + 4]]), step == 0, True)
            for n in range(0, len(pairs), 4)
            for step in (0, 1)
        ]
        inputs, places = played(x, Skip.DELTA, vectors, np.random.default_rng(0), 0.0)
        seen = cycles(Encoder(x, Skip.DELTA, GENERIC), inputs, ["wrote"])
        want = [
            places[number * 4 + index] + Encoder.latency - 1
            for number, entries in enumerate(lists_of(x, Skip.DELTA, vectors))
            for index, _ in entries
        ]
        assert np.flatnonzero(seen["wrote"]).tolist() == want
