# amaranth: UnusedElaboratable=no

import gc

import numpy as np
import pytest
from amaranth.back import verilog

from deltaloom.compiler.cells import GRU, LSTM, LayerNormLSTM, ResetBeforeGRU
from deltaloom.compiler.errors import MismatchError, ToolMissingError
from deltaloom.compiler.recipe import Recipe
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


FAULTS = {
    "hang": "Design hangs: nothing has moved up to cycle [0-9]+, after [0-9]+ of 24 input and 5 of",
    "extra": "Design offers one more output beat than expected in cycle [0-9]+, after 24 of 24 ",
    "withdraw": "Design changes a stalled output beat in cycle [0-9]+, after [0-9]+ of 24 input",
}


# Verilator has its driver in common with CXXRTL.
@pytest.mark.parametrize("name", ["pysim", "cxxrtl", "icarus"])
@pytest.mark.parametrize("fault", FAULTS)
def test_reports_broken_rules_of_the_stream(device, name, fault):
    simulator = make(device, name, AWKWARD, fault)
    stimulus = device.make_stimulus(AWKWARD, 8, 1, 0.7 if fault == "withdraw" else 0.0, limit=50)
    with pytest.raises(MismatchError, match=FAULTS[fault]) as caught:
        simulator.run(stimulus)
    with pytest.raises(MismatchError) as expected:
        make(device, "pysim", AWKWARD, fault).run(stimulus)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("name", ["pysim", "cxxrtl", "icarus"])
@pytest.mark.parametrize(
    ("fault", "field", "beat"),
    [
        ("bit", "data", 5),
        ("top bit", "data", 5),
        ("user", "user", 5),
        ("last", "last", 7),
        ("late", "delivered", 5),
    ],
)
def test_shows_a_fault_where_it_is(device, name, fault, field, beat):
    stimulus = device.make_stimulus(AWKWARD, 8, 1)
    good = make(device, "pysim", AWKWARD).run(stimulus)
    bad = make(device, name, AWKWARD, fault).run(stimulus)
    wrong = np.flatnonzero(getattr(good, field) != getattr(bad, field))
    assert wrong[0] == beat


def test_a_limit_does_not_count_gaps_and_stalls(device):
    simulator = make(device, "cxxrtl", AWKWARD)
    stimulus = device.make_stimulus(AWKWARD, 8, 1, 0.98, limit=20)
    assert max(stimulus.gaps.max(), stimulus.stalls.max()) > 100
    assert_equal(simulator.run(stimulus), make(device, "pysim", AWKWARD).run(stimulus))


@pytest.mark.parametrize("ports", [Ports(8, 16), Ports(64, 64), Ports(32, 8)], ids=str)
@pytest.mark.parametrize(
    "name", ["cxxrtl", pytest.param("verilator", marks=pytest.mark.slow), "icarus"]
)
def test_port_widths(device, name, ports):
    stimulus = device.make_stimulus(ports, 20, 3, 0.2)
    want = make(device, "pysim", ports).run(stimulus)
    np.testing.assert_array_equal(want.data, device.answer(ports, stimulus)[0])
    assert want.data.min() < 0 < want.data.max()
    assert_equal(make(device, name, ports).run(stimulus), want)


@pytest.mark.parametrize("name", ["cxxrtl", "icarus", "pysim"])
def test_runs_again_from_reset(device, name):
    simulator = make(device, name, AWKWARD)
    stimulus = device.make_stimulus(AWKWARD, 7, 2, 0.4)
    first = simulator.run(stimulus)
    simulator.run(device.make_stimulus(AWKWARD, 3, 9))
    assert_equal(simulator.run(stimulus), first)


@pytest.mark.parametrize(
    "name", ["pysim", "cxxrtl", pytest.param("verilator", marks=pytest.mark.slow), "icarus"]
)
def test_wave_dump(device, name, tmp_path):
    simulator = make(device, name, AWKWARD)
    stimulus = device.make_stimulus(AWKWARD, 7, 2, 0.4)
    want = simulator.run(stimulus)
    assert_equal(simulator.run(stimulus, vcd=tmp_path / "wave.vcd"), want)
    text = (tmp_path / "wave.vcd").read_text()
    assert "m_axis_tvalid" in text
    assert "$enddefinitions" in text
    times = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
    assert len(times) > want.cycles


@pytest.mark.parametrize("name", OTHERS)
def test_rejects_data_beyond_the_port(device, name):
    simulator = make(device, name, AWKWARD)
    stimulus = device.make_stimulus(Ports(32, 40), 5, 0)
    with pytest.raises(ValueError, match=r"^Stimulus data must fit 24 bits$"):
        simulator.run(stimulus)


def test_a_name_that_is_no_simulator():
    with pytest.raises(
        ValueError,
        match=r"^Simulator must be one of pysim, cxxrtl, verilator, icarus, not 'modelsim'$",
    ):
        tools.require("modelsim")


def test_a_simulator_that_never_runs_leaves_nothing_behind(device, recwarn):
    make(device, "pysim", AWKWARD)
    gc.collect()
    assert not recwarn.list


@pytest.mark.parametrize("skip", ["none", "delta"])
@pytest.mark.parametrize("cell", [GRU(2, 1), LSTM(3, 5), ResetBeforeGRU(2, 3), LayerNormLSTM(2, 3)])
def test_what_is_known_at_time_zero_is_known_to_icarus(
    integer_network, make_run, build_design, check_run, cell, skip
):
    """Icarus waits in an "always @*" for a first change, which flags and constants have not."""
    try:
        tools.require("icarus")
    except ToolMissingError as error:
        pytest.skip(str(error))
    network = integer_network(cell, recipe=Recipe(skip=skip))
    case = make_run(network, {"l.0": 1}, lengths=(1, 2))
    design, ports = build_design(case)
    source = verilog.convert(design, name="top", emit_src=False)
    check_run(case, icarus.build(source, ports))
