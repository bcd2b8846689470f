import json

import numpy as np
import pytest

import deltaloom as dl
from deltaloom.__main__ import main
from deltaloom.search.losses import ErrorRate

MODULE = """
import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def make():
    torch.manual_seed(0)
    return Classifier()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("searches")
    (place / "module.py").write_text(MODULE)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 6, 3)).cumsum(axis=1) * 0.3
    lengths = rng.integers(1, 7, 8)
    np.savez(place / "x.npz", x=x)
    namespace = {}
    exec(MODULE, namespace)
    sequences = [part[:length] for part, length in zip(x, lengths, strict=True)]
    # Of 16 bits throughout: as good as float, so that nothing else comes near its labels.
    outputs = np.array(dl.quantize(namespace["make"](), x, dl.Recipe("int16", "int16"))(sequences))
    np.savez(place / "labelled.npz", x=x, lengths=lengths, labels=outputs.argmax(axis=1))
    np.savez(place / "targets.npz", x=x, lengths=lengths, targets=outputs)
    return place


@pytest.fixture
def call(folder, capfd):
    """``call(command, words...)``: exit code, what stdout and stderr say."""

    def call(command, *words):
        model = [f"{folder}/module.py:make", "--calibration", folder / "x.npz"]
        status = main([str(word) for word in (command, *model, *words)])
        return status, *capfd.readouterr()

    return call


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        (tmp_path / "r.toml").write_text(text)
        return tmp_path / "r.toml"

    return write


def test_quantizes_within_a_bound(call, folder, recipe, tmp_path):
    text = 'weights = "int8"\nactivations = "int2"\nskip = "delta"\n'
    words = ["--evaluate", folder / "targets.npz", "-o", tmp_path / "m.safetensors", "--json"]
    found = tmp_path / "found.toml"
    status, out, err = call(
        "quantize", *words, "--recipe", recipe(f"{text}max_loss = 1e-3"), "--save-recipe", found
    )
    assert status == 0
    data = json.loads(out)
    assert data["skipping"]["loss"] <= 1e-3 + data["skipping"]["float_loss"]
    assert data["skipping"]["skipped"]
    assert "Skipping, 1 of 6: " in err
    first = (tmp_path / "m.safetensors").read_bytes()
    status, out, _ = call("quantize", "--recipe", found, "-o", tmp_path / "again.safetensors")
    assert status == 0
    assert (tmp_path / "again.safetensors").read_bytes() == first
    (path, *_) = data["skipping"]["skipped"]
    assert dl.Recipe.load(found).paths[path["path"]] == {"activations": "int16"}


def test_shows_what_is_skipped(call, folder, recipe, tmp_path):
    text = 'activations = "int2"\nskip = "delta"\nmax_loss = 1e-3\n'
    words = ["--recipe", recipe(text), "--evaluate", folder / "targets.npz"]
    status, out, _ = call("quantize", *words, "-o", tmp_path / "m.safetensors")
    assert status == 0
    assert "At 16 bits: loss" in out
    assert "activations" in out
    assert "int2" in out


def test_a_bound_that_cannot_be_met(call, folder, recipe, tmp_path):
    path = recipe("elementwise = 4\nmax_loss = 0\n")
    words = ["--evaluate", folder / "targets.npz", "-o", tmp_path / "m.safetensors"]
    status, out, err = call("quantize", *words, "--recipe", path)
    assert (status, out) == (2, "")
    assert "deltaloom: Recipe max_loss must be at least" in err
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(("data", "last"), [("labelled", "0"), ("targets", "float")])
def test_sensitivity(call, folder, data, last):
    status, out, _ = call("sensitivity", "--evaluate", folder / f"{data}.npz", "--json")
    assert status == 0
    found = json.loads(out)
    assert {row["path"] for row in found["paths"]} == {"rnn.0.x", "rnn.0.h", "head.x"}
    assert len(found["paths"]) == 6
    assert found["float"]["loss"] < 1e-6
    status, out, _ = call("sensitivity", "--evaluate", folder / f"{data}.npz")
    assert status == 0
    assert "rnn.0.h" in out


def test_sensitivity_without_a_loss(call):
    status, out, _ = call("sensitivity", "--json")
    assert status == 0
    assert json.loads(out)["paths"][0]["loss"] is None


def test_sweep(call, folder, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["--weights", "3:4", "--activations", "4,8", "-o", tmp_path / "out"]
    status, out, err = call("sweep", *words, "--evaluate", folder / "labelled.npz", "--json")
    assert status == 0
    data = json.loads(out)
    assert [path.rsplit("/", 1)[1] for path in data["files"]] == ["sweep.json", "sweep.svg"]
    assert len(data["points"]) == 4
    assert "Sweep, 4 of 4: int4 weights, int8 activations: loss" in err
    status, out, _ = call("sweep", *words, "--evaluate", folder / "labelled.npz")
    assert status == 0
    assert "float32" in out


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        ("quantize", ["--recipe", "max_loss = 1.0"], "Recipe max_loss must come with evaluate"),
        (
            "quantize",
            ["--evaluate", "labelled.npz"],
            "Evaluate must come with a recipe that has a max_loss",
        ),
        ("quantize", ["--recipe", "max_loss = nan"], "must be a number from 0 up, not nan"),
        ("sensitivity", ["--evaluate", "x.npz"], "either 'labels' or 'targets'"),
        ("sensitivity", ["--evaluate", "none.npz"], "must be a readable file"),
        ("sweep", ["--weights", "8:2"], "Sweep weights must be at least one width"),
        ("sweep", ["--weights", "2:99999999999"], "not 'int17'"),
        ("sweep", ["--weights", "a:b"], "Argument --weights: invalid widths value: 'a:b'"),
        ("sweep", ["--activations", "4,4"], "must be different widths, not int4 twice"),
        ("sweep", ["--activations", "ternary"], "activations must be one of int2 to int16"),
        ("sweep", ["--recipe", "max_loss = 1.0"], "must be left out of a sweep"),
    ],
)
def test_refuses(call, folder, recipe, tmp_path, command, words, sentence):
    if command == "sweep":
        pytest.importorskip("matplotlib")
    name, value = words
    if name == "--recipe":
        value = recipe(value)
    elif name == "--evaluate":
        value = folder / value
    output = [] if command == "sensitivity" else ["-o", tmp_path / "out"]
    status, out, err = call(command, name, value, *output)
    assert (status, out) == (2, "")
    assert sentence in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_error_rate_is_in_percent(folder):
    with np.load(folder / "labelled.npz") as arrays:
        x = [part[:length] for part, length in zip(arrays["x"], arrays["lengths"], strict=True)]
        labels = arrays["labels"].copy()
    namespace = {}
    exec(MODULE, namespace)
    model = dl.quantize(namespace["make"](), x, dl.Recipe("int16", "int16"))
    assert ErrorRate(x, labels)(model) == 0
    labels[:2] = (labels[:2] + 1) % 4
    assert ErrorRate(x, labels)(model) == 25
