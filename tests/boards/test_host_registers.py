# amaranth: UnusedElaboratable=no

"""Registers of a real accelerator behind the bridge of a simulated board."""

import numpy as np
import pytest

from deltaloom.boards.host import Host, LinkError, RegisterError
from deltaloom.boards.host_registers import HostRegisters
from deltaloom.boards.protocol import Answer, Error, Kind, encode
from deltaloom.compiler.address_map import AddressMap
from deltaloom.compiler.cells import RNN
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.states import load_states
from deltaloom.hw.accelerator import Accelerator
from deltaloom.sim import golden

from .accelerators import Accelerator as Plain
from .line import Line

SIZE = 3


@pytest.fixture(scope="module")
def network(integer_network):
    return integer_network(RNN(2, SIZE), recipe=Recipe(skip="delta"))


@pytest.fixture(scope="module")
def addresses(network):
    return AddressMap.of(network)


@pytest.fixture
def line(network, addresses):
    design = Accelerator(network, schedule(network, 2, registers=True))
    bits = addresses.address_bits
    return Line(design, address_bits=bits, output_bytes=len(design.m_axis_tdata) // 8)


@pytest.fixture
def host(line):
    return Host(line, timeout=0.2)


@pytest.fixture
def registers(host, addresses):
    return HostRegisters(host, addresses)


def check(host, registers, network, sequence, state=None):
    """A sequence from a state: outputs and the state that is left; returns the latter."""
    states = None
    if state is not None:
        registers.load({"l.0": {"h": state}})
        states = load_states(network, {"l.0": {"h": state[None]}}, 1)
    expected = golden.run(network, [sequence], states)
    np.testing.assert_array_equal(np.stack(host.run(sequence)), expected.outputs[0])
    left = registers.states()["l.0"]["h"]
    np.testing.assert_array_equal(left, expected.states["l.0"]["h"][0])
    return left


def sequences(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(-128, 128, (steps, 2)) for steps in rng.integers(1, 4, count)]


def test_states_and_counters(host, registers, network):
    left = None
    taken = sequences(2)
    for sequence in taken:
        left = check(host, registers, network, sequence, left)
    assert registers.counters()["l.0.steps"] == sum(map(len, taken))
    assert not registers.broken()


def test_damage_on_the_way_is_mended(line, host, registers, network):
    """A request that arrives broken or twice is done once."""
    rng = np.random.default_rng(4)
    start = line._sent
    line.spoil = lambda k, byte: byte ^ 1 << k % 8 if k > start and k % 41 == 0 else byte
    for sequence in sequences(2, seed=1):
        check(host, registers, network, sequence, rng.integers(-128, 128, SIZE))


def test_a_lost_answer_is_reported(line, host, addresses):
    start = line._received
    line.spoil_back = lambda k, byte: byte ^ 4 if k == start + 11 else byte
    with pytest.raises(LinkError, match=r"^Frame of the board must have the right checksum"):
        host.read(addresses.addresses["l.0.h"], 2)
    line.spoil_back = lambda k, byte: byte
    host.reset()
    start = line._received + 6  # what accepts the request
    line.spoil_back = lambda k, byte: None if k >= start else byte
    with pytest.raises(LinkError, match=r"^Board must answer a request, but sent nothing$"):
        host.read(addresses.addresses["l.0.h"], 2)


def test_refused_addresses(host, addresses):
    at = addresses.addresses
    end = addresses.states[-1].address + 4 * SIZE
    cases = [
        (lambda: host.read(6), "^Address of words must be a multiple of 4, not 0x6$"),
        (lambda: host.write(at["l.0.h"] + 1, [1]), "^Address of words must be a multiple of 4"),
        (lambda: host.read(end - 4, 2), f"^Addresses must be those .* from {end:#x} on are not$"),
        (lambda: host.write(1 << addresses.address_bits, [1]), "^Addresses must be those"),
        (lambda: host.read(1 << 32), "^Addresses must be those of registers .* from 0x100000000"),
        (lambda: host.read(-4), "^Addresses must be those"),
        (lambda: host.write(at["cycles"], [1]), "^Registers from 0x4 on must not be written now"),
        (lambda: host.read(at["l.0.load"]), "^Registers from 0x8 on must not be read now"),
    ]
    for ask, sentence in cases:
        with pytest.raises(RegisterError, match=sentence):
            ask()
    assert host.read(at["cycles"]) == 0
    host.write(at["l.0.h"], [-5, 7, -128])
    assert host.read(at["l.0.h"], 3).tolist() == [(1 << 32) - 5, 7, (1 << 32) - 128]


def test_while_a_sequence_runs(host, registers, addresses, network):
    """States are refused, counters are not; the sequence goes on as if nothing was asked."""
    sequence = sequences(1, seed=3)[0][:1]
    host._link.deliver(Kind.DATA, sequence.astype(np.int8).tobytes()[:1])
    assert registers.counters()["l.0.steps"] == 0
    for ask in (registers.states, lambda: registers.load({"l.0": {"h": np.zeros(SIZE, int)}})):
        with pytest.raises(RegisterError, match="a sequence is in the accelerator"):
            ask()
    host._link.deliver(Kind.DATA_LAST, sequence.astype(np.int8).tobytes()[1:])
    host._link.collect(Kind.RESULT, "no result")
    expected = golden.run(network, [sequence]).outputs[0][0]
    np.testing.assert_array_equal(host._steps()[0], expected)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.READ, b""),
        (Kind.READ, bytes(4)),
        (Kind.READ, bytes(6)),
        (Kind.WRITE, bytes(4)),
        (Kind.WRITE, bytes(7)),
        (Kind.WRITE, bytes(10)),
    ],
)
def test_frames_of_a_wrong_length(host, addresses, kind, payload):
    with pytest.raises(LinkError, match=r"^Frame must be accepted .* refused: length$"):
        host._link.deliver(kind, payload)
    assert host.read(addresses.addresses["cycles"]) == 0


def test_reset_in_the_middle(line, host, registers, network, addresses):
    """In mid-frame and in mid-answer."""
    at = addresses.addresses["l.0.h"]
    frames = [
        encode(Kind.READ, 0, at.to_bytes(4, "little") + bytes([3])),
        encode(Kind.WRITE, 0, at.to_bytes(4, "little") + bytes(range(12))),
    ]
    for cycles in (300, 500, 601, 800):
        line.write(frames[cycles % 2])
        line.advance(cycles)
        host.reset()
        assert len(host.read(at, 1)) == 1
        host.reset()
    check(host, registers, network, np.full((1, 2), 100), np.array([1, -2, 3]))


def test_without_registers():
    host = Host(Line(Plain()), timeout=0.2)
    assert host.address_bits == 0
    with pytest.raises(UnsupportedError, match=r"^Registers are not in this board's design"):
        host.read(0)
    with pytest.raises(LinkError, match=r"^Frame must be accepted .* refused: kind$"):
        host._link.deliver(Kind.READ, bytes(5))


@pytest.mark.parametrize("values", [[1, 2, 128], [1, 2], [0.5, 1, 2]])
def test_states_that_are_none(registers, values):
    with pytest.raises(DeltaloomError, match=r"^State l.0.h must be 3 integers within s8.7$"):
        registers.load({"l.0": {"h": np.array(values)}})


def test_codes_are_those_of_axi():
    assert (Answer.OKAY, Answer.REFUSED, Answer.NOWHERE) == (0, 2, 3)
    assert Error(3) is Error.LENGTH
