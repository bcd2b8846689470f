import pytest

from deltaloom.compiler.address_map import WORD_BYTES, AddressMap
from deltaloom.compiler.cells import GRU, LSTM, Linear


@pytest.fixture
def addresses(integer_network):
    return AddressMap.of(integer_network(LSTM(3, 21), GRU(21, 4), Linear(4, 2)))


def test_nothing_overlaps(addresses):
    taken = [register.address for register in addresses.registers]
    for state in addresses.states:
        taken += [state.address + WORD_BYTES * place for place in range(state.size)]
    assert len(set(taken)) == len(taken)
    assert max(taken) < 1 << addresses.address_bits
    assert addresses.region == 32
    assert all(state.address % (WORD_BYTES * addresses.region) == 0 for state in addresses.states)


def test_what_there_is(addresses):
    assert [state.name for state in addresses.states] == ["l.0.h", "l.0.c", "l.1.h"]
    assert [register.name for register in addresses.registers] == [
        *("status", "cycles", "l.0.load", "l.0.steps", "l.0.kept.x", "l.0.kept.h"),
        *("l.0.saturated", "l.0.saturated.h", "l.0.saturated.c"),
        *("l.1.load", "l.1.steps", "l.1.kept.x", "l.1.kept.h"),
        *("l.1.saturated", "l.1.saturated.h", "l.2.steps", "l.2.kept.x", "l.2.saturated"),
    ]
    settling = [r.name for r in addresses.registers if r.settles]
    assert settling == [name for name in addresses.addresses if "saturated" in name]
    assert [r.name for r in addresses.registers if r.writable] == ["l.0.load", "l.1.load"]


def test_description(addresses):
    found = addresses.describe()
    assert found["address_bits"] == 9
    assert found["states"][2] == {
        "layer": "l.1",
        "state": "h",
        "address": 3 * 32 * 4,
        "size": 4,
        "format": str(addresses.states[2].format),
    }
    assert found["registers"][1] == {
        "name": "cycles",
        "address": 4,
        "access": "read",
        "what": "clock cycles in which a sequence was in the accelerator",
    }


def test_one_unit(integer_network):
    """The smallest region still has room for the registers."""
    addresses = AddressMap.of(integer_network(GRU(1, 1)))
    assert addresses.region == 8
    assert addresses.address_bits == 6
