import dataclasses
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import deltaloom
from deltaloom import design as design_module
from deltaloom.__main__ import main
from deltaloom.boards import flow
from deltaloom.boards import tools as board_tools
from deltaloom.boards.report import Cells, Report
from deltaloom.cli.data import read_labelled
from deltaloom.compiler.errors import MismatchError, ToolMissingError

MODULE = """
import torch
from torch import nn

print("a user's module may print")


def make():
    torch.manual_seed(0)
    return nn.GRU(3, 4, batch_first=True)


def broken():
    module = make()
    module.weight_ih_l0.data[0, 0] = float("nan")
    return module


def convolution():
    return nn.Conv3d(3, 4, 1)


def number():
    return 3
"""


@pytest.fixture
def call(capfd):
    """``call(words...)``: exit code, the JSON of stdout (None for tables) and what stderr says."""

    def call(*words):
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return status, json.loads(out) if "--json" in words else out, err

    return call


@pytest.fixture
def refused(call, tmp_path):
    """``refused(words...)``: the one sentence of a command that left nothing behind."""

    def refused(*words, status=2):
        before = sorted(tmp_path.rglob("*"))
        got, out, err = call(*words)
        assert got == status
        assert out == ""
        assert sorted(tmp_path.rglob("*")) == before
        complaints = [line for line in err.splitlines() if line.startswith("deltaloom: ")]
        assert len(complaints) == 1
        assert err.endswith(f"{complaints[0]}\n")
        assert "Traceback" not in err
        return complaints[0].removeprefix("deltaloom: ")

    return refused


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Module, data, quantized model and design folders; not to be changed."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "module.py").write_text(MODULE)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, 3)).cumsum(axis=1) * 0.3
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "padded.npz", x=x, lengths=np.array([6, 1, 3, 2]))
    np.savez(folder / "labelled.npz", x=x, labels=rng.integers(0, 4, (4, 6)))
    words = ["quantize", f"{folder}/module.py:make", "--calibration", folder / "x.npz"]
    assert main([*map(str, words), "-o", f"{folder}/model.safetensors"]) == 0
    for name, options in {"plain": [], "board": ["--board", "ulx3s_25f"]}.items():
        words = ["generate", folder / "model.safetensors", *options, "--lanes", "3", "-o"]
        assert main([*map(str, words), f"{folder}/{name}"]) == 0
    return folder


@pytest.fixture
def quantize(shared, tmp_path):
    """Words of a quantize command."""

    def words(factory="make", calibration=shared / "x.npz", *more):
        model = factory if ":" in factory else f"{shared}/module.py:{factory}"
        target = tmp_path / "m.safetensors"
        return ["quantize", model, "--calibration", calibration, "-o", target, *more]

    return words


@pytest.fixture
def report():
    return Report(
        board="ulx3s_25f",
        cells=Cells(luts=700, multipliers=3),
        components={
            "accelerator": Cells(luts=500, multipliers=3),
            "accelerator.gru_0": Cells(luts=400, multipliers=3),
        },
        logic_cells=800,
        available={"luts": 24_288, "multipliers": 28},
        mhz=30.0,
        constraint=25.0,
        met=True,
        seed=1,
        bitstream="top.bit",
    )


@pytest.fixture
def built(monkeypatch, report):
    """``built(report)``: builds take no time and say that."""

    def built(found=report):
        def build(component, board, folder, **_):
            folder.mkdir(exist_ok=True)
            return found

        monkeypatch.setattr(flow, "build", build)

    return built


def test_quantize(call, quantize, tmp_path):
    (tmp_path / "recipe.toml").write_text('weights = "int4"\nskip = "delta"\n')
    words = quantize("make", quantize()[3], "--recipe", tmp_path / "recipe.toml", "--json")
    status, found, err = call(*words)
    assert status == 0
    assert "a user's module may print" in err
    assert found["bytes"]["weights"] == 3 * 4 * (3 + 4) // 2
    assert [layer["name"] for layer in found["layers"]] == ["gru.0"]
    assert deltaloom.load(tmp_path / "m.safetensors").network.input_size == 3


def test_tables(call, quantize, shared):
    status, out, _ = call(*quantize("make", shared / "padded.npz"))
    assert status == 0
    assert "worst error" in out
    status, out, _ = call("simulate", shared / "plain", "--input", shared / "x.npz")
    assert status == 0
    assert "cycles_per_timestep" in out
    assert "utilization" in out


def test_generate(call, shared, tmp_path):
    model = shared / "model.safetensors"
    words = ["generate", model, "--lanes", "gru.0=2", "-o", tmp_path / "kws", "--json"]
    status, found, _ = call(*words)
    assert (status, found["lanes"], found["board"]) == (0, {"gru.0": 2}, None)
    assert (tmp_path / "kws" / "design.v").exists()


def test_simulate(call, shared, tmp_path):
    words = ["simulate", shared / "plain", "--input", shared / "x.npz", "--json"]
    more = ["--output", tmp_path / "y.npz", "--vcd", tmp_path / "wave.vcd"]
    status, found, _ = call(*words, "--simulator", "pysim", *more)
    assert (status, found["simulator"]) == (0, "pysim")
    assert (found["sequences"], found["timesteps"]) == (4, 24)
    assert found["cycles_per_timestep"] == found["total_cycles"] / 24
    assert set(found["skipped"]["gru.0"]) == {"x", "h"}
    assert found["activity"]["operations_eliminated"] >= 0
    model = deltaloom.load(shared / "model.safetensors")
    with np.load(tmp_path / "y.npz") as written, np.load(shared / "x.npz") as data:
        np.testing.assert_array_equal(written["outputs"], model(data["x"]))
        np.testing.assert_array_equal(written["integers"], model.integer(data["x"]))
        assert written["cycles"].tolist() == found["cycles"]
    assert (tmp_path / "wave.vcd").exists()
    status, predicted, _ = call(*words, "--simulator", "model")
    assert predicted == {**found, "simulator": "model"}


def test_padded_input_and_output(call, shared, tmp_path):
    words = ["simulate", shared / "plain", "--input", shared / "padded.npz", "--json"]
    status, found, _ = call(*words, "--simulator", "model", "--output", tmp_path / "y.npz")
    assert (status, found["timesteps"]) == (0, 12)
    with np.load(tmp_path / "y.npz") as written:
        assert written["lengths"].tolist() == [6, 1, 3, 2]
        assert written["outputs"].shape == (4, 6, 4)
        assert not written["outputs"][1, 1:].any()
        assert written["outputs"][1, 0].any()


def test_regress(call, shared):
    status, found, _ = call("regress", shared / "plain", "--simulator", "pysim", "--json")
    assert status == 0
    assert found["simulators"] == ["pysim"]
    assert found["cycles"] > found["outputs"] > 0


def test_build_and_report(call, shared, built, report):
    built()
    status, found, _ = call("build", shared / "board", "--json")
    assert (status, found["mhz"]) == (0, 30.0)
    status, found, _ = call("report", shared / "board", "--json")
    assert status == 0
    assert found["cells"] == dataclasses.asdict(report.cells)
    assert [layer["lanes"] for layer in found["layers"]] == [3]
    for words, shown in ([], False), (["--all"], True):
        status, out, _ = call("report", shared / "board", *words)
        assert status == 0
        assert ("gru_0" in out) == shown


def test_missed_timing_is_a_failed_check(call, shared, built, report):
    built(dataclasses.replace(report, constraint=40.0, met=False))
    status, found, _ = call("build", shared / "board", "--frequency", "40", "--json")
    assert (status, found["met"]) == (1, False)
    status, found, _ = call("report", shared / "board", "--json")  # shows, and checks nothing
    assert (status, found["met"]) == (0, False)


def test_boards(call):
    status, found, _ = call("boards", "--json")
    assert status == 0
    assert [board["name"] for board in found["boards"]] == ["icebreaker", "ulx3s_25f", "ulx3s_85f"]
    assert "ulx3s_85f" in call("boards")[1]


def test_evaluate(call, shared):
    words = ["evaluate", shared / "model.safetensors", "--data", shared / "labelled.npz", "--json"]
    status, found, _ = call(*words)
    assert status == 0
    assert found["sequences"] == 4
    assert 0 < found["accuracy"] < 1
    x, _, _ = read_labelled(str(shared / "labelled.npz"))
    activity = deltaloom.load(shared / "model.safetensors").activity(x)
    assert found["activity"] == activity.to_dict()
    assert found["cycles_per_timestep"] == activity.cycles
    assert call(*words, "--lanes", "1")[1]["cycles_per_timestep"] > activity.cycles
    assert "weight" in call(*words[:-1])[1]


def test_explore(call, shared, tmp_path):
    words = ["explore", f"{shared / 'module.py'}:make", "--calibration", shared / "x.npz"]
    words += ["--evaluate", shared / "labelled.npz", "--max-loss", "50", "--budget", "12"]
    words += ["--confirm", shared / "labelled.npz", "--widths", "int16,int4/int6"]
    status, found, _ = call(*words, "-o", tmp_path / "found", "--json")
    assert status == 0
    assert found["measured"] == 12
    assert found["best"]["error"] <= found["reference"] + 50
    assert (
        json.loads((tmp_path / "found" / "exploration.json").read_text())["best"] == found["best"]
    )
    model = deltaloom.load(tmp_path / "found" / "model.safetensors")
    x, labels, _ = read_labelled(str(shared / "labelled.npz"))
    assert 100 * (1 - model.accuracy(x, labels)) == pytest.approx(found["best"]["error"])
    status, text, _ = call(*words, "-o", tmp_path / "found")
    assert status == 0
    assert "Pareto front" in text
    recipe = deltaloom.Recipe.load(tmp_path / "found" / "recipe.toml")
    assert recipe.skip == "delta"


def test_inspect(call, shared, tmp_path):
    words = ["inspect", shared / "model.safetensors", "--data", shared / "x.npz", "--json"]
    status, found, err = call(*words)
    assert status == 0
    assert found["reference"] == "the model's own weights in float"
    assert "Edges, 4 of 4 sequences" in err
    status, found, _ = call(*words, "--model", f"{shared}/module.py:make")
    assert found["reference"] == "float model"
    assert {part["what"] for part in found["parts"]} >= {"weights", "operand", "state", "gate"}
    assert found["worst"]["part"] in call(*words[:-1], "--model", f"{shared}/module.py:make")[1]
    pytest.importorskip("matplotlib")
    status, found, _ = call(*words, "-o", tmp_path / "new")
    assert found["picture"] == str(tmp_path / "new" / "inspection.svg")
    assert (tmp_path / "new" / "inspection.svg").exists()


def test_inspect_refuses_another_model(refused, shared, tmp_path):
    (tmp_path / "other.py").write_text(MODULE.replace("GRU(3, 4", "GRU(3, 5"))
    words = ["inspect", shared / "model.safetensors", "--data", shared / "x.npz"]
    sentence = refused(*words, "--model", f"{tmp_path}/other.py:make")
    assert sentence.startswith("Float model must have a parameter gru.0.r.x of shape (4, 3)")


def test_version_and_module():
    words = [sys.executable, "-m", "deltaloom", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "deltaloom 0.1.0\n"


def test_mismatch_and_not_fitting_are_failed_checks(call, refused, shared, tmp_path, monkeypatch):
    def differ(*_, **__):
        raise MismatchError("Hardware in pysim differs from its model")

    monkeypatch.setattr(design_module.Design, "simulate", differ)
    words = ["simulate", shared / "plain", "--input", shared / "x.npz"]
    assert refused(*words, status=1) == "Hardware in pysim differs from its model"
    status, found, _ = call(*words, "--json")
    assert status == 1
    message = "Hardware in pysim differs from its model"
    assert found == {"error": {"kind": "MismatchError", "message": message}}


def test_does_not_fit(refused, shared, tmp_path, monkeypatch):
    def refuse(*_):
        raise deltaloom.DoesNotFitError("Board has 28 multipliers, design needs 99: fewer lanes")

    monkeypatch.setattr(design_module.budget, "check_schedule", refuse)
    model, folder = shared / "model.safetensors", tmp_path / "kws"
    words = ["generate", model, "--board", "ulx3s_25f", "--lanes", "9", "-o", folder]
    assert refused(*words, status=1).startswith("Board has 28 multipliers")


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("broken", "finite"),
        ("convolution", "Conv3d"),
        ("number", "must return a torch.nn.Module, not int"),
        ("nothing", "has no factory nothing"),
        ("missing.py:make", "Model file missing.py does not exist"),
        ("model.pt:", "must be named as file.py:factory"),
    ],
)
def test_unusable_model(refused, quantize, factory, sentence):
    assert sentence in refused(*quantize(factory))


def test_an_onnx_file_that_is_not_there(refused, quantize):
    words = quantize()
    words[1] = "net.onnx"
    assert "net.onnx" in refused(*words)


def test_a_part_of_an_onnx_file(call, refused, quantize, tmp_path):
    onnx = pytest.importorskip("onnx")
    tensor, numbers = onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
    nodes = [
        onnx.helper.make_node("Pow", ["x", "x"], ["power"]),
        onnx.helper.make_node("MatMul", ["power", "w"], ["y"]),
        onnx.helper.make_node("Sqrt", ["y"], ["root"]),
    ]
    weights = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    ends = [tensor(name, 1, [1, "time", size]) for name, size in (("x", 3), ("root", 2))]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [numbers(weights, "w")])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "n.onnx")
    words = quantize()
    words[1] = tmp_path / "n.onnx"
    assert "(Pow) is not supported" in refused(*words)
    status, found, _ = call(*words, "--input-tensor", "power", "--output-tensor", "y", "--json")
    assert status == 0
    assert [layer["inputs"] for layer in found["layers"]] == [3]
    assert "must be named of an ONNX file" in refused(*quantize(), "--input-tensor", "power")


def test_without_torch(refused, quantize, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "deltaloom.compiler.factory", raising=False)
    assert refused(*quantize()) == (
        "Package torch is not installed: pip install 'deltaloom[torch]' brings it"
    )


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "must hold the array 'x': save it with numpy.savez(path, x=array)"),
        ({"y": np.zeros((2, 5, 3))}, "must hold the array 'x'"),
        ({"x": np.array([{}, None])}, "pickled arrays are never loaded"),
        ({"x": np.zeros((5, 3))}, "must have shape (batch, time, features)"),
        ({"x": np.zeros((2, 0, 3))}, "none of them 0, not (2, 0, 3)"),
        ({"x": np.zeros((2, 5, 4))}, "must have shape (batch, time, 3), but it has (2, 5, 4)"),
        ({"x": np.full((2, 5, 3), np.nan)}, "must be finite, but it holds NaN or infinity"),
        ({"x": np.full((2, 5, 3), "a")}, "must be real numbers, but it holds <U1"),
        ({"x": np.zeros((2, 5, 3)), "lengths": np.array([5])}, "integers of shape (2,)"),
        ({"x": np.zeros((2, 5, 3)), "lengths": np.array([5.0, 5])}, "must be integers of shape"),
        ({"x": np.zeros((2, 5, 3)), "lengths": np.array([0, 5])}, "from 1 to 5"),
        ({"x": np.zeros((2, 5, 3)), "lengths": np.array([6, 5])}, "not 5 to 6"),
    ],
)
def test_unusable_data(refused, quantize, shared, tmp_path, arrays, sentence):
    np.savez(tmp_path / "bad.npz", **arrays)
    assert sentence in refused(*quantize("make", tmp_path / "bad.npz"))
    assert sentence in refused("simulate", shared / "plain", "--input", tmp_path / "bad.npz")


def test_damaged_data(refused, quantize, shared, tmp_path):
    whole = (shared / "x.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "pickle.npz").write_bytes(b"\x80\x04\x95\x00\x00.")
    np.save(tmp_path / "single.npy", np.zeros((2, 5, 3)))
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, "
        header += b"'shape': (99999, 99999, 9), }"
        archive.writestr("x.npy", header.ljust(127) + b"\n" + bytes(80))
    (tmp_path / "empty.npz").touch()
    for name in ("cut.npz", "pickle.npz", "single.npy", "short.npz", "empty.npz"):
        sentence = refused(*quantize("make", tmp_path / name))
        assert f"{name} must be a whole .npz archive of numbers" in sentence
    assert "must be a readable file: No such file" in refused(
        *quantize("make", tmp_path / "no.npz")
    )
    assert "must be a readable file: Is a dir" in refused(*quantize("make", tmp_path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('activations = "int1"', "must be one of int2 to int16, not 'int1'"),
        ('skip = "never"', "must be one of none, zero, delta, top_k, not 'never'"),
        ('colour = "red"', "not 'colour'"),
        ("theta = 3", "thresholds need skip 'delta'"),
        ('skip = "delta"\ntheta = 300', "must be below 256"),
        ("weights = ", "must be valid TOML"),
    ],
)
def test_unusable_recipe(refused, quantize, shared, tmp_path, text, sentence):
    (tmp_path / "r.toml").write_text(text)
    words = quantize("make", shared / "x.npz", "--recipe", tmp_path / "r.toml")
    assert sentence in refused(*words)


@pytest.mark.parametrize("damage", ["pickle", "zip", "truncated", "altered", "empty", "missing"])
def test_unusable_model_file(refused, shared, tmp_path, damage):
    path = tmp_path / "bad.safetensors"
    whole = (shared / "model.safetensors").read_bytes()
    contents = {
        "pickle": b"\x80\x04\x95\x10\x00\x00.",
        "zip": b"PK\x03\x04abcdefgh",
        "truncated": whole[:-1],
        "altered": whole[:-1] + bytes([whole[-1] ^ 1]),
        "empty": b"",
    }
    if damage in contents:
        path.write_bytes(contents[damage])
    for words in (["generate", path, "-o", tmp_path / "kws"], ["evaluate", path, "--data"]):
        if words[0] == "evaluate":
            words.append(shared / "labelled.npz")
        assert refused(*words).startswith(f"Model file {path} must be ")


@pytest.mark.parametrize("labels", [None, np.zeros(3, int), np.zeros((4, 5), int), np.full(4, 9)])
def test_unusable_labels(refused, shared, tmp_path, labels):
    with np.load(shared / "x.npz") as data:
        arrays = {"x": data["x"]} if labels is None else {"x": data["x"], "labels": labels}
    np.savez(tmp_path / "bad.npz", **arrays)
    words = ["evaluate", shared / "model.safetensors", "--data", tmp_path / "bad.npz"]
    assert "abels" in refused(*words)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--lanes", "0"], "Lanes must be a positive integer, not 0"),
        (["--lanes", "gru.0=0"], "Lanes must be a positive integer, not 0"),
        (["--lanes", "lstm.7=4"], "Lanes must name each of the layers gru.0, not lstm.7"),
        (["--lanes", "many"], "Argument --lanes: invalid lanes value: 'many'"),
        (["--lanes", "a=b=c"], "Argument --lanes: invalid lanes value: 'a=b=c'"),
        (["--board", "zedboard"], "Board must be one of icebreaker, ulx3s_25f, ulx3s_85f, not"),
    ],
)
def test_unusable_options(refused, shared, tmp_path, options, sentence):
    words = ["generate", shared / "model.safetensors", *options, "-o", tmp_path / "kws"]
    assert refused(*words).startswith(sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "The following arguments are required: COMMAND"),
        (["fly"], "Argument COMMAND: invalid choice: 'fly'"),
        (["boards", "--colour"], "Unrecognized arguments: --colour"),
        (
            ["simulate", "b", "--input", "x", "--simulator", "spice"],
            "Argument --simulator: invalid",
        ),
        (["build", "nowhere"], "Folder nowhere holds no design: manifest.json is missing"),
        (["report", "nowhere"], "Folder nowhere holds no design: manifest.json is missing"),
    ],
)
def test_unusable_words(refused, words, sentence):
    assert refused(*words).startswith(sentence)


def test_folders(refused, shared, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    words = ["generate", shared / "model.safetensors", "--lanes", "3", "-o"]
    assert "must be empty or hold a design" in refused(*words, tmp_path)
    assert "must be a folder, not a file" in refused(*words, tmp_path / "thesis.tex")
    words = ["simulate", shared / "plain", "--input", shared / "x.npz", "--simulator", "model"]
    sentence = refused(*words, "--output", tmp_path / "no" / "y.npz")
    assert sentence.endswith("y.npz must be writable: No such file or directory")
    assert "Build needs a board" in refused("build", shared / "plain")
    assert "build the design first" in refused("report", shared / "plain")


def test_missing_tools(refused, shared, monkeypatch):
    def missing(name):
        raise ToolMissingError(f"{name} is not installed: get it")

    monkeypatch.setattr(design_module.tools, "require", missing)
    words = ["simulate", shared / "plain", "--input", shared / "x.npz", "--simulator", "icarus"]
    assert refused(*words) == "icarus is not installed: get it"
    monkeypatch.setattr(board_tools, "_PACKAGES", dict.fromkeys(board_tools._PACKAGES, "no_such"))
    (shared / "board" / "build").mkdir(exist_ok=True)
    sentence = refused("build", shared / "board")
    assert sentence == "Tool yosys is not installed: pip install deltaloom[boards]"


def test_states_from_one_run_to_the_next(call, shared, tmp_path):
    model, folder = shared / "model.safetensors", tmp_path / "registers"
    status, found, _ = call("generate", model, "-o", folder, "--lanes", 2, "--registers", "--json")
    assert status == 0
    assert [state["state"] for state in found["registers"]["states"]] == ["h"]
    with np.load(shared / "x.npz") as data:
        x = data["x"]
    words = ["simulate", folder, "--simulator", "model", "--json", "--input"]
    np.savez(tmp_path / "a.npz", x=x[:, :2])
    np.savez(tmp_path / "b.npz", x=x[:, 2:])
    ends = ["--output", tmp_path / "y.npz"]
    assert call(*words, tmp_path / "a.npz", *ends)[0] == 0
    starts = ["--states", tmp_path / "y.npz", "--output", tmp_path / "z.npz"]
    assert call(*words, tmp_path / "b.npz", *starts)[0] == 0
    whole = deltaloom.load(model)(x)
    with np.load(tmp_path / "z.npz") as written:
        np.testing.assert_array_equal(written["outputs"], whole[:, 2:])
    np.savez(tmp_path / "s.npz", h=x[:, 0])
    status, _, said = call(*words, tmp_path / "b.npz", "--states", tmp_path / "s.npz")
    assert status == 2
    assert "must be called LAYER.STATE" in said
    status, _, said = call(
        "simulate", shared / "plain", "--input", tmp_path / "b.npz", "--states", tmp_path / "y.npz"
    )
    assert status == 2
    assert "generate it with registers=True" in said
