# amaranth: UnusedElaboratable=no

import dataclasses

import pytest

from deltaloom.boards.catalogue import get
from deltaloom.boards.flow import build, measure
from deltaloom.boards.shell import Shell
from deltaloom.compiler.errors import DoesNotFitError, UnsupportedError

from .accelerators import Accelerator


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frequency", "clock"),
    [
        ("ulx3s_25f", None, 25),
        ("ulx3s_85f", 80, 80),
        ("icebreaker", None, 12),
        ("icebreaker", 24, 24),
    ],
)
def test_build(name, frequency, clock, tmp_path):
    report = build(Accelerator(), get(name), tmp_path, frequency=frequency)
    assert report.met
    assert report.constraint == pytest.approx(clock, rel=1e-3)
    assert report.mhz > clock
    assert report.cells.multipliers == 1
    assert report.components["accelerator.weights"].block_rams >= 1
    assert report.components["bridge"].flip_flops > 100
    if name != "icebreaker":
        assert (report.packed["operands"], report.packed["products"]) == (2, 1)
        assert report.packed["memories"] == 1
    with open(report.bitstream, "rb") as bitstream:
        assert len(bitstream.read()) > 10_000
    steps = []
    again = build(
        Accelerator(), get(name), tmp_path, frequency=frequency, progress=lambda *s: steps.append(s)
    )
    assert again == report
    assert [done for _, done in steps] == [None, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ulx3s_25f", "icebreaker"])
def test_measure(name, tmp_path):
    report = measure(Accelerator(), get(name), tmp_path, seeds=(1, 2))
    assert set(report.seeds) == {1, 2}
    assert report.mhz == max(report.seeds.values())
    assert report.cells.multipliers == 1
    assert report.cells.flip_flops < 100
    assert "harness" not in " ".join(report.components)
    assert 0 < report.logic_cells < 300


@pytest.mark.slow
def test_does_not_fit(tmp_path):
    small = dataclasses.replace(get("icebreaker"), multipliers=0)
    with pytest.raises(DoesNotFitError, match=r"^Board icebreaker has 0 multipliers, .* needs 1:"):
        measure(Accelerator(), small, tmp_path)


def test_no_seeds(tmp_path):
    with pytest.raises(ValueError, match=r"^Seeds must not be empty$"):
        measure(Accelerator(), get("icebreaker"), tmp_path, seeds=())


def test_wrong_frequency():
    with pytest.raises(UnsupportedError, match=r"^Frequency must be 16 to 275 MHz"):
        Shell(Accelerator(), get("icebreaker"), frequency=10)


def test_wrong_width():
    accelerator = Accelerator(input_bytes=9)
    with pytest.raises(
        UnsupportedError, match=r"^Member s_axis_tdata must be 1 to 8 bytes wide, not 72 bits$"
    ):
        Shell(accelerator, get("icebreaker"))
