"""The host class against a simulated board: every byte goes through the bridge's serial line."""

import numpy as np
import pytest

from deltaloom.boards.host import Host, LinkError
from deltaloom.boards.protocol import Kind, encode

from .accelerators import FEATURES, Accelerator, expected
from .line import Line


def sequences(count, longest, seed=0, bits=8):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        steps = rng.integers(1, longest + 1)
        yield rng.integers(-(1 << bits - 1), 1 << bits - 1, size=(steps, FEATURES))


def check(host, sequence, **widths):
    steps = host.run(sequence)
    np.testing.assert_array_equal(np.stack(steps), expected(sequence, **widths))


def test_sequences():
    host = Host(Line(Accelerator()), timeout=0.01)
    assert (host.input_bytes, host.output_bytes) == (1, 2)
    for sequence in sequences(3, 12):
        check(host, sequence)


def test_many_frames():
    """A sequence of several frames, and values that have to be escaped."""
    host = Host(Line(Accelerator()), timeout=0.01)
    check(host, np.full((90, FEATURES), 0x7E))


@pytest.mark.parametrize(("input_bytes", "output_bytes"), [(2, 3), (3, 1)])
def test_wide_beats(input_bytes, output_bytes):
    widths = {"input_bytes": input_bytes, "output_bytes": output_bytes}
    host = Host(Line(Accelerator(**widths), **widths), timeout=0.01)
    for sequence in sequences(2, 9, bits=12):
        check(host, sequence, output_bytes=output_bytes)


def test_damage_on_the_way_is_mended():
    """Bytes to the board that are changed or lost cost a repetition and nothing else."""
    line = Line(Accelerator())
    host = Host(line, timeout=0.01)
    rng = np.random.default_rng(2)
    start = line._sent

    def spoil(index, byte):
        if index > start and rng.random() < 0.02:
            return None if rng.random() < 0.5 else byte ^ (1 << int(rng.integers(8)))
        return byte

    line.spoil = spoil
    for sequence in sequences(4, 6, seed=1):
        check(host, sequence)


def test_lost_answer_is_mended():
    line = Line(Accelerator())
    host = Host(line, timeout=0.01)
    start = line._received
    line.spoil_back = lambda index, byte: None if start <= index < start + 6 else byte
    check(host, np.zeros((1, FEATURES), dtype=int) + 5)


def test_damaged_result_is_reported():
    line = Line(Accelerator())
    host = Host(line, timeout=0.01)
    start = line._received
    line.spoil_back = lambda index, byte: byte ^ 4 if index == start + 11 else byte
    sequence = np.ones((4, FEATURES), dtype=int)
    with pytest.raises(LinkError, match=r"^Frame of the board must have the right checksum"):
        host.run(sequence)
    line.spoil_back = lambda index, byte: byte
    host.reset()
    check(host, sequence)


def test_noise_and_breaks():
    """A line that was broken, or in the middle of something, is found again."""
    line = Line(Accelerator())
    host = Host(line, timeout=0.01)
    line.bits([0] * 25 + [1] * 3)
    line.write(b"\x12\x7d" + encode(Kind.DATA, 0, b"abc")[:-3])
    host.reset()
    check(host, np.arange(2 * FEATURES).reshape(2, FEATURES))


def test_reset_in_the_middle():
    line = Line(Accelerator())
    host = Host(line, timeout=0.01)
    line.write(encode(Kind.DATA, 0, bytes(range(50))))
    line.advance(3000)
    host.reset()
    check(host, np.arange(3 * FEATURES).reshape(3, FEATURES))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (encode(0x55, 0), "kind"),
        (encode(Kind.DATA, 0), "length"),
        (encode(Kind.DATA, 9, b"1"), "seq"),
    ],
)
def test_refused(frame, reason, monkeypatch):
    host = Host(Line(Accelerator()), timeout=0.01)
    monkeypatch.setattr("deltaloom.boards.link.encode", lambda *_: frame)
    with pytest.raises(LinkError, match=f"^Frame must be accepted .*{reason}"):
        host._link.deliver(Kind.DATA_LAST, b"1")


def test_silent_board():
    class Silence:
        def read(self, count):
            return b""

        def write(self, data):
            pass

    with pytest.raises(LinkError, match=r"^Board must answer a reset"):
        Host(Silence(), timeout=0.01)


def test_values_that_do_not_fit():
    host = Host(Line(Accelerator()), timeout=0.01)
    with pytest.raises(ValueError, match=r"^Sequence must fit 8 bits"):
        host.run(np.full((1, 3), 128))
    with pytest.raises(ValueError, match=r"^Sequence must be integers of shape"):
        host.run(np.zeros((2, 3)))
