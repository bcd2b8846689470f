# amaranth: UnusedElaboratable=no

import dataclasses
import json

import numpy as np
import pytest
import torch
from amaranth.hdl import Fragment
from torch import nn

import deltaloom as dl
from deltaloom import project
from deltaloom.boards import flow
from deltaloom.boards.report import Cells, Report
from deltaloom.sim import golden, result, testbench, tools


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 6, 3)).cumsum(axis=1) * 0.3


@pytest.fixture(scope="module")
def model(clips):
    torch.manual_seed(0)
    return dl.quantize(nn.GRU(3, 4, batch_first=True), clips, dl.Recipe(skip="delta"))


@pytest.fixture(scope="module")
def design(model):
    """Shared, so that its Verilog is made once."""
    return dl.generate(model, lanes=3)


@pytest.fixture
def report(tmp_path):
    return Report(
        board="ulx3s_25f",
        cells=Cells(luts=7),
        components={"accelerator": Cells(luts=5)},
        logic_cells=9,
        available={"luts": 24_288},
        mhz=30.0,
        constraint=25.0,
        met=True,
        seed=1,
    )


def test_simulate(design, model, clips):
    run = design.simulate(clips, "pysim")
    np.testing.assert_array_equal(run.outputs, model(clips))
    np.testing.assert_array_equal(run.integers, model.integer(clips))
    assert run.cycles.shape == (3,)
    assert run.step_cycles.shape == (3, 6)
    assert run.total_cycles == run.step_cycles.max() + 1
    assert np.all(np.diff(run.step_cycles.ravel()) > 0)
    assert set(run.utilization) == set(run.skipped) == {"gru.0"}
    assert 0 < run.utilization["gru.0"] <= 1
    assert set(run.skipped["gru.0"]) == {"x", "h"}
    predicted = design.simulate(clips, "model")
    np.testing.assert_array_equal(predicted.step_cycles, run.step_cycles)
    np.testing.assert_array_equal(predicted.cycles, run.cycles)
    assert predicted.utilization == run.utilization


def test_simulate_sequences_of_different_lengths(design, model, clips):
    ragged = [clips[0], clips[1][:1], clips[2][:4]]
    run = design.simulate(ragged, "model")
    assert [steps.shape for steps in run.step_cycles] == [(6,), (1,), (4,)]
    for values, expected in zip(run.outputs, model(ragged), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_waits_as_long_as_the_model_says(design, clips, monkeypatch):
    """A reversal may be silent for longer than a design usually is before it counts as hung."""
    make = result.stimulus_of

    def impatient(*given, **options):
        return dataclasses.replace(make(*given, **options), limit=2)

    monkeypatch.setattr(result, "stimulus_of", impatient)
    design.simulate(clips[:1], "pysim")


def test_wave_dump(design, clips, tmp_path):
    design.simulate(clips[:1, :1], "pysim", vcd=tmp_path / "wave.vcd")
    assert "$var" in (tmp_path / "wave.vcd").read_text()
    with pytest.raises(dl.DeltaloomError, match=r"^Wave dump needs a simulator"):
        design.simulate(clips, "model", vcd=tmp_path / "other.vcd")


def test_missing_simulator(design, clips, monkeypatch):
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    with pytest.raises(dl.ToolMissingError, match=r"Debian package iverilog"):
        design.simulate(clips, "icarus")


def test_regress(design):
    check = design.regress(["pysim"])
    assert check.simulators == ("pysim",)
    assert check.sequences > 3
    assert check.outputs % 4 == 0
    assert check.cycles > 2 * check.outputs


def test_mismatch_is_found(design, clips, monkeypatch):
    """Golden model and hardware that differ in one bit: neither simulate nor regress is silent."""
    honest = golden.run

    def flipped(*arguments, **options):
        run = honest(*arguments, **options)
        outputs = [values.copy() for values in run.outputs]
        outputs[-1][-1, -1] ^= 1
        return dataclasses.replace(run, outputs=outputs)

    monkeypatch.setattr(golden, "run", flipped)
    sentence = r"^Hardware in pysim differs from its model in 1 of \d+: value of output element"
    with pytest.raises(dl.MismatchError, match=sentence):
        design.simulate(clips, "pysim")
    with pytest.raises(dl.MismatchError, match=sentence):
        design.regress(["pysim"])


def test_written_and_opened(model, clips, tmp_path):
    design = dl.generate(model, "ulx3s_25f", lanes=3)
    folder = design.write(tmp_path / "deep" / "kws")
    names = {path.name for path in folder.iterdir()}
    assert names == {"design.v", "manifest.json", "model.safetensors", "testbench", "top.lpf"}
    assert [path.name for path in folder.parent.iterdir()] == ["kws"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["board"], manifest["lanes"]) == ("ulx3s_25f", {"gru.0": 3})
    again = dl.open_design(folder)
    assert again.verilog == design.verilog
    assert again.manifest() == manifest
    assert again.folder == folder
    np.testing.assert_array_equal(again.simulate(clips, "model").outputs, model(clips))


def test_same_design_same_bytes(design, tmp_path):
    first, second = design.write(tmp_path / "a"), design.write(tmp_path / "b")
    for name in ("design.v", "manifest.json", "model.safetensors", "testbench/test_design.py"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_folder_is_replaced_but_what_was_built_stays(model, design, tmp_path):
    folder = design.write(tmp_path / "kws")
    (folder / "build").mkdir()
    (folder / "build" / "top.bit").write_text("bits")
    (folder / "testbench" / "sim_build").mkdir()
    dl.generate(model, lanes=2).write(folder)
    assert dl.open_design(folder).schedule.lanes == 2
    assert (folder / "build" / "top.bit").read_text() == "bits"
    assert not (folder / "testbench" / "sim_build").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kws"]


def test_folder_of_others_is_refused(design, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(dl.DeltaloomError, match=r"must be empty or hold a design"):
        design.write(tmp_path)
    with pytest.raises(dl.DeltaloomError, match=r"must be a folder, not a file"):
        design.write(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_half_written(design, tmp_path, monkeypatch):
    folder = design.write(tmp_path / "kws")
    before = (folder / "manifest.json").stat().st_mtime_ns

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(project, "write_testbench", fail)
    for target in ("kws", "new"):
        with pytest.raises(OSError, match=r"disk full"):
            design.write(tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["kws"]
    assert (folder / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("manifest.json", None, r"holds no design: manifest.json is missing$"),
        ("design.v", None, r"holds no design: design.v is missing$"),
        ("manifest.json", "{", r"^Manifest of .* is not that of a design$"),
        ("manifest.json", "[]", r"^Manifest of .* is not that of a design$"),
        ("manifest.json", "{}", r"^Manifest of .* is not that of a design$"),
        ("design.v", "module top; endmodule", r"^Verilog in .* was altered"),
        ("model.safetensors", None, r"^Model file .* must be a readable file"),
        ("model.safetensors", "\x80\x04.........", r"^Model file .* must be a whole"),
    ],
)
def test_damaged_folder(design, tmp_path, name, content, sentence):
    folder = design.write(tmp_path / "kws")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="latin-1")
    with pytest.raises(dl.ModelFileError, match=sentence):
        dl.open_design(folder)


def test_design_of_another_version(design, model, tmp_path):
    folder = design.write(tmp_path / "kws")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "lanes": {"gru.0": 2}}))
    with pytest.raises(dl.ModelFileError, match=r"made by another version: generate it anew$"):
        dl.open_design(folder)


@pytest.mark.parametrize("lanes", [0, -1, 1.5, "8", True, {"gru.0": 0}])
def test_impossible_lanes(model, lanes):
    with pytest.raises(dl.DeltaloomError, match=r"^Lanes must be a positive integer, not "):
        dl.generate(model, lanes=lanes)


def test_lanes_of_unknown_layers(model):
    with pytest.raises(dl.DeltaloomError, match=r"^Lanes must name each of the layers gru.0, not"):
        dl.generate(model, lanes={"lstm.0": 4})


def test_unknown_board(model):
    with pytest.raises(dl.UnsupportedError, match=r"^Board must be one of .* 'zedboard'"):
        dl.generate(model, "zedboard")


def test_does_not_fit(clips):
    large = dl.quantize(nn.GRU(3, 64, batch_first=True), clips)
    with pytest.raises(dl.DoesNotFitError, match=r"^Board ulx3s_25f has 28 multipliers, "):
        dl.generate(large, "ulx3s_25f", lanes=64)


def test_build_needs_board_and_folder(model):
    with pytest.raises(dl.UnsupportedError, match=r"^Build needs a board"):
        dl.generate(model, lanes=3).build()
    with pytest.raises(dl.DeltaloomError, match=r"^Build needs a folder"):
        dl.generate(model, "ulx3s_25f", lanes=3).build()


def test_report_is_kept(model, report, tmp_path, monkeypatch):
    def build(component, board, folder, **_):
        Fragment.get(component, None)  # a component that nobody uses is a warning
        folder.mkdir()
        return report

    monkeypatch.setattr(flow, "build", build)
    design = dl.generate(model, "ulx3s_25f", lanes=3)
    with pytest.raises(dl.DeltaloomError, match=r"^Report needs a design that was written"):
        design.last_report()
    design.write(tmp_path / "kws")
    with pytest.raises(dl.DeltaloomError, match=r"report.json is missing: build the design first$"):
        design.last_report()
    assert design.build() == report
    kept = dl.open_design(tmp_path / "kws").last_report()
    assert kept["components"] == {"accelerator": dataclasses.asdict(Cells(luts=5))}
    assert kept["met"] is True
    other = dl.generate(model, "ulx3s_25f", lanes=2)
    other.write(tmp_path / "kws")
    with pytest.raises(dl.DeltaloomError, match=r"is about another design: build this one first$"):
        other.last_report()
    (tmp_path / "kws" / "build" / "report.json").write_text("[")
    with pytest.raises(dl.DeltaloomError, match=r"is not that of a build: build the design anew$"):
        other.last_report()


@pytest.mark.slow
def test_build(model, tmp_path):
    design = dl.generate(model, "ulx3s_25f", lanes=3)
    design.write(tmp_path / "kws")
    first = design.build(frequency=40)
    assert first.met
    assert (tmp_path / "kws" / "build" / "top.bit").stat().st_size > 10_000
    steps = []
    again = dl.open_design(tmp_path / "kws")
    assert again.build(frequency=40, progress=lambda *step: steps.append(step)) == first
    assert [done for _, done in steps] == [None, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator", "icarus"])
def test_regress_compiled(design, simulator):
    try:
        tools.require(simulator)
    except dl.ToolMissingError as error:
        pytest.skip(str(error))
    assert design.regress([simulator]).simulators == (simulator,)


@pytest.fixture(scope="module")
def loading():
    """A design with registers, and sequences."""
    torch.manual_seed(0)
    x = np.random.default_rng(2).normal(size=(3, 6, 3))
    model = dl.quantize(torch.nn.LSTM(3, 4, batch_first=True), x, dl.Recipe(skip="delta"))
    return dl.generate(model, lanes=4, registers=True), x


def test_states_go_through_registers(loading):
    """Saved, used for another sequence, and restored."""
    design, x = loading
    whole = design.simulate(x, "pysim", states={})
    first = design.simulate(x[:, :2], "pysim", states={})
    design.simulate(x[::-1], "pysim", states=first.states)
    second = design.simulate(x[:, 2:], "pysim", states=first.states)
    np.testing.assert_array_equal(
        np.concatenate([first.integers, second.integers], axis=1), whole.integers
    )
    model = design.model.run(x)
    for name, values in model.states["lstm.0"].items():
        np.testing.assert_array_equal(whole.states["lstm.0"][name], values)
    assert whole.total_cycles > design.simulate(x, "model").total_cycles


def test_given_states_that_saturate_are_counted(loading):
    design, x = loading
    states = {"lstm.0": {"c": np.full((3, 4), 1e6)}}
    run = design.simulate(x, "model", states=states)
    assert run.saturated["lstm.0"]["given c"] == 12


def test_a_design_without_registers_loads_no_states(loading):
    design, x = loading
    plain = dl.generate(design.model, lanes=4)
    for states in ({}, {"lstm.0": {}}):
        with pytest.raises(dl.UnsupportedError, match="generate it with registers=True"):
            plain.simulate(x, states=states)
    assert plain.manifest()["registers"] is None
    assert "s_axil" not in plain.verilog


def test_registers_are_regressed(loading):
    design, _ = loading
    assert design.regress(["pysim"]).sequences == 6


def test_a_folder_with_registers(loading, tmp_path):
    design, _ = loading
    folder = design.write(tmp_path / "d")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["registers"] == design.addresses.describe()
    assert dl.open_design(folder).verilog == design.verilog


@pytest.mark.slow
def test_the_testbench_of_a_design_with_registers(loading, tmp_path):
    design, _ = loading
    folder = design.write(tmp_path / "d")
    assert len(testbench.run(folder / "testbench", "verilator").tests) == 4


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_registers_in_compiled_simulators(loading, simulator):
    design, x = loading
    assert design.regress([simulator]).sequences == 6
    states = {"lstm.0": {"h": np.full((3, 4), -0.25)}}
    assert design.simulate(x, simulator, states=states).simulator == simulator
