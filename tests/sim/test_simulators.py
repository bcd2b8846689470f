import numpy as np
import pytest

from deltaloom.compiler.errors import ToolMissingError
from deltaloom.sim import cxxrtl, icarus, pysim, tools, verilator
from deltaloom.sim.stimulus import Ports

AWKWARD = Ports(24, 40)
OTHERS = ["cxxrtl", "verilator", "icarus"]


def make(device, name, ports, fault=None):
    try:
        tools.require(name)
    except ToolMissingError as error:
        pytest.skip(str(error))
    match name:
        case "pysim":
            return pysim.build(device.Device(ports, fault), ports)
        case "cxxrtl":
            return cxxrtl.build(device.make_rtlil(ports, fault), ports)
        case "verilator":
            return verilator.build(device.make_verilog(ports, fault), ports)
        case "icarus":
            return icarus.build(device.make_verilog(ports, fault), ports)


def assert_equal(got, want):
    for name in ("data", "last", "user", "accepted", "delivered"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
        assert getattr(got, name).dtype == getattr(want, name).dtype
    assert got.cycles == want.cycles


@pytest.mark.parametrize("name", OTHERS)
def test_equals_pysim_in_every_cycle(device, name):
    reference = make(device, "pysim", AWKWARD)
    simulator = make(device, name, AWKWARD)
    for seed, (vectors, stall, options) in enumerate(
        [
            (40, 0.0, {}),
            (40, 0.5, {}),
            (13, 0.9, {"idle": 7}),
            (1, 0.3, {"idle": 0}),
            (0, 0.0, {"idle": 9}),
        ]
    ):
        stimulus = device.make_stimulus(AWKWARD, vectors, seed, stall, **options)
        want = reference.run(stimulus)
        data, last, user = device.answer(AWKWARD, stimulus)
        np.testing.assert_array_equal(want.data, data)
        np.testing.assert_array_equal(want.last, last)
        np.testing.assert_array_equal(want.user, user)
        assert_equal(simulator.run(stimulus), want)
