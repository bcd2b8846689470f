import subprocess
import sys

import pytest

from deltaloom.compiler.errors import MismatchError, ToolMissingError
from deltaloom.sim import pysim, testbench, tools
from deltaloom.sim.stimulus import Ports

PORTS = Ports(24, 40)


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


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("bit", "Output data differs in 1 of 60 beats, first in beat 5"),
        ("top bit", "Output data differs in 1 of 60 beats, first in beat 5"),
        ("user", "Output user differs in 1 of 60 beats, first in beat 5"),
        ("last", "Output last differs in 7 of 60 beats, first in beat 7"),
        ("late", "Output delivered differs in "),
        ("hang", "Design hangs: nothing has moved up to cycle"),
        ("extra", "Design offers one more output beat than expected"),
        ("withdraw", "Design changes a stalled output beat"),
    ],
)
def test_notices(device, tmp_path, simulator, fault, sentence):
    require(simulator)
    write(device, tmp_path, fault)
    with pytest.raises(MismatchError, match=sentence):
        testbench.run(tmp_path, simulator)
