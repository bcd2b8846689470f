import subprocess
import sys

import pytest

from deltaloom.compiler.errors import DeltaloomError, MismatchError, ToolMissingError
from deltaloom.sim import pysim, testbench, tools
from deltaloom.sim.stimulus import Ports

PORTS = Ports(24, 40)
FAULTS = [
    ("bit", "Output data differs in 1 of 60 beats, first in beat 5"),
    ("top bit", "Output data differs in 1 of 60 beats, first in beat 5"),
    ("user", "Output user differs in 1 of 60 beats, first in beat 5"),
    ("last", "Output last differs in 7 of 60 beats, first in beat 7"),
    ("late", "Output delivered differs in "),
    ("hang", "Design hangs: nothing has moved up to cycle"),
    ("extra", "Design offers one more output beat than expected"),
    ("withdraw", "Design changes a stalled output beat"),
]


def write(device, folder, fault=None, vectors=30, stall=0.0):
    stimulus = device.make_stimulus(PORTS, vectors, 5, stall, limit=2000)
    data, last, user = device.answer(PORTS, stimulus)
    delivered = pysim.build(device.Device(PORTS), PORTS).run(stimulus).delivered
    folder.mkdir(exist_ok=True)
    (folder / "design.v").write_text(device.make_verilog(PORTS, fault))
    testbench.write(
        folder,
        "design.v",
        PORTS,
        stimulus,
        data=data,
        last=last,
        user=user,
        delivered=delivered,
    )


def require(simulator):
    try:
        tools.require(simulator)
    except ToolMissingError as error:
        pytest.skip(str(error))


def test_icarus(device, tmp_path):
    require("icarus")
    write(device, tmp_path)
    checked = testbench.run(tmp_path, "icarus")
    assert len(checked.tests) == 4
    assert checked.cycles > 4 * 90


@pytest.mark.slow
def test_verilator_from_the_makefile(device, tmp_path):
    require("verilator")
    write(device, tmp_path, stall=0.4)
    command = ["make", "SIM=verilator", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS=4 FAIL=0" in done.stdout + done.stderr


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_notices(device, tmp_path, fault, sentence):
    require("icarus")
    write(device, tmp_path, fault)
    with pytest.raises(MismatchError, match=sentence):
        testbench.run(tmp_path, "icarus")


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "sentence"), [FAULTS[0], FAULTS[4], FAULTS[5]])
def test_notices_in_verilator(device, tmp_path, fault, sentence):
    require("verilator")
    write(device, tmp_path, fault)
    with pytest.raises(MismatchError, match=sentence):
        testbench.run(tmp_path, "verilator")


def test_same_bytes_twice(device, tmp_path):
    for name in ("first", "second"):
        write(device, tmp_path / name, stall=0.3)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_broken_verilog_is_not_a_mismatch(device, tmp_path):
    require("icarus")
    write(device, tmp_path)
    (tmp_path / "design.v").write_text("module top; endmodul")
    with pytest.raises(DeltaloomError, match="^The testbench does not run in icarus: ") as caught:
        testbench.run(tmp_path, "icarus")
    assert not isinstance(caught.value, MismatchError)


def test_rejects(device, tmp_path):
    with pytest.raises(
        ValueError, match="^Testbench simulator must be one of verilator, icarus, not 'pysim'$"
    ):
        testbench.run(tmp_path, "pysim")
    stimulus = device.make_stimulus(PORTS, 4, 0)
    data, last, user = device.answer(PORTS, stimulus)
    with pytest.raises(ValueError, match=r"^Expected user must have shape \(8,\), not \(7,\)$"):
        testbench.write(tmp_path, "design.v", PORTS, stimulus, data=data, last=last, user=user[:-1])
