"""Networks with a memory as their users have them: from torch to hardware, by command too."""

import json
import re

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.__main__ import main
from deltaloom.compiler.recipe import Recipe
from deltaloom.search.losses import ErrorRate, SquaredError
from deltaloom.sim import testbench

MODULE = """
import torch
from torch import nn

import deltaloom as dl


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(2, 5, batch_first=True)
        self.attention = dl.nn.Attention(
            5, 3, causal=False, memory_size=8, batch_first=True
        )
        self.head = nn.Linear(10, 3)

    def forward(self, x, memory):
        kept, _ = self.encoder(memory)
        h, _ = self.decoder(x)
        return self.head(torch.cat([h, self.attention(h, kept)], dim=2))


def make():
    torch.manual_seed(0)
    return Translator()
"""


@pytest.fixture(scope="module")
def module():
    names = {}
    exec(MODULE, names)
    return names["make"]()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 6, 2)), rng.normal(size=(5, 9, 3))


@pytest.fixture(scope="module")
def model(module, data):
    x, memory = data
    return dl.quantize(module, x, Recipe(skip="delta"), memory=memory)


@pytest.fixture(scope="module")
def design(model):
    return dl.generate(model, lanes=13)


@pytest.mark.parametrize("simulator", ["model", "pysim"])
def test_simulates(design, model, module, data, simulator):
    x, memory = data[0][:2], list(data[1][:2])
    memory[1] = memory[1][:1]
    run = design.simulate(x, simulator, memory=memory)
    np.testing.assert_array_equal(run.integers, model.integer(x, memory=memory))
    assert run.outputs.shape == (2, 6, 3)
    with torch.no_grad():
        wanted = module(*(torch.tensor(part[:1]).float() for part in data)).numpy()
    # eight bits of products' inputs below 2, of which the head sums ten: 10 * 2**-6 at the most
    np.testing.assert_allclose(run.outputs[:1], wanted, rtol=0, atol=10 * 2.0**-6)


def test_starts_from_states(model, data):
    """Of both sides, loaded before each pair."""
    x, memory = data
    rng = np.random.default_rng(1)
    states = {
        "encoder.0.reverse": {"h": rng.uniform(-1, 1, (5, 4))},
        "decoder.0": {"c": rng.uniform(-1, 1, (5, 5))},
    }
    design = dl.generate(model, lanes=13, registers=True)
    run = design.simulate(x, "model", memory=memory, states=states)
    wanted = model.run(x, states, memory=memory)
    np.testing.assert_array_equal(run.integers, wanted.integers)
    assert np.any(run.integers != model.integer(x, memory=memory))
    for layer, left in wanted.integer_states.items():
        for name, values in left.items():
            np.testing.assert_array_equal(run.integer_states[layer][name], values)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_registers_hold_with_random_stalls(model, simulator):
    assert dl.generate(model, lanes=13, registers=True).regress([simulator], seed=4).outputs > 0


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_holds_with_random_stalls(design, simulator):
    check = design.regress([simulator], seed=3)
    assert check.simulators == (simulator,)
    assert check.outputs > 0


def test_what_a_search_says(module, data):
    x, memory = data
    with torch.no_grad():
        targets = module(*(torch.tensor(part).float() for part in data)).numpy()
    loss = SquaredError(x, targets, memory)
    model = dl.quantize(
        module, x, Recipe("int3", "int3", max_loss=0.002), memory=memory, evaluate=loss
    )
    assert model.skipping is not None
    assert loss(model) <= model.skipping.float_loss + 0.002
    found = dl.sensitivity(module, x, memory=memory, evaluate=loss)
    paths = [row.part.path for row in found.rows]
    for layer in ("encoder.0.reverse", "decoder.0", "attention", "head"):
        assert any(path.startswith(f"{layer}.") for path in paths)
    swept = dl.sweep(module, x, loss, [4, 8], [8], memory=memory)
    assert [point.loss for point in swept.points] == sorted(
        (point.loss for point in swept.points), reverse=True
    )


def test_explores_thresholds(module, data):
    x, memory = data
    labels = np.zeros(x.shape[:2], dtype=int)
    loss = ErrorRate(x, labels, memory)
    found = dl.explore(module, x, memory=memory, evaluate=loss, budget=6)
    point = found.front[0]
    assert point.error == loss(point.model)
    lanes = found.lanes
    assert point.cycles == point.model.activity(x, lanes, memory=memory).cycles
    again = dl.explore(found.points[0].model, evaluate=loss, budget=3)
    assert again.points[0].error == found.points[0].error


def test_inspects(model, module, data):
    x, memory = data
    found = dl.inspect(model, module, x, memory=memory)
    assert found.ratio > 20
    own = {part.part.layer for part in found.parts}
    assert own >= {"input", "memory", "encoder.0.forward", "decoder.0", "head"}
    edges = {edge.layer for edge in found.edges}
    assert edges >= {"input", "memory", "attention"}
    wide = dl.quantize(module, x, Recipe(weights="int16", activations="int16"), memory=memory)
    assert dl.inspect(wide, module, x, memory=memory).ratio > found.ratio + 20
    with pytest.raises(dl.DeltaloomError, match="Memory must be given"):
        dl.inspect(model, module, x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    """Module, data, a quantized model and a design; not to be changed."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "module.py").write_text(MODULE)
    x, memory = data
    ends = {"lengths": np.array([6, 1, 3, 2, 6]), "memory_lengths": np.array([1, 9, 2, 9, 4])}
    np.savez(folder / "pairs.npz", x=x, memory=memory)
    np.savez(folder / "padded.npz", x=x, memory=memory, **ends)
    np.savez(folder / "alone.npz", x=x)
    labels = np.zeros(x.shape[:2], dtype=int)
    np.savez(folder / "labelled.npz", x=x, memory=memory, labels=labels, **ends)
    words = ["quantize", f"{folder}/module.py:make", "--calibration", f"{folder}/pairs.npz"]
    assert main([*words, "-o", f"{folder}/model.safetensors"]) == 0
    words = ["generate", f"{folder}/model.safetensors", "--lanes", "13", "-o", f"{folder}/design"]
    assert main(words) == 0
    return folder


@pytest.fixture
def call(capfd, folder):
    """``call(words...)``: exit code, the JSON of stdout, and what stderr says.

    A word that begins with ``:`` is a file of the folder.
    """

    def call(*words):
        words = [f"{folder}/{word[1:]}" if word.startswith(":") else word for word in words]
        status = main([*words, "--json"])
        out, err = capfd.readouterr()
        return status, json.loads(out), err

    return call


def test_simulate(call, folder, tmp_path):
    output = tmp_path / "y.npz"
    words = ["simulate", ":design", "--simulator", "model", "--output", str(output)]
    status, found, _ = call(*words, "--input", ":padded.npz")
    assert status == 0
    assert found["sequences"] == 5
    data = np.load(folder / "padded.npz")
    x, memory = (
        [sequence[:end] for sequence, end in zip(data[name], data[ends], strict=True)]
        for name, ends in (("x", "lengths"), ("memory", "memory_lengths"))
    )
    wanted = dl.load(folder / "model.safetensors").integer(x, memory=memory)
    integers = np.load(output)["integers"]
    for place, sequence in enumerate(wanted):
        np.testing.assert_array_equal(integers[place, : len(sequence)], sequence)


def test_evaluate_and_inspect(call):
    status, found, _ = call("evaluate", ":model.safetensors", "--data", ":labelled.npz")
    assert status == 0
    assert 0 <= found["accuracy"] <= 1
    words = ["--data", ":pairs.npz", "--model", ":module.py:make"]
    assert call("inspect", ":model.safetensors", *words)[0] == 0


@pytest.mark.filterwarnings("ignore")
def test_a_file(call, folder, module, data, tmp_path):
    """Its inputs are known by what becomes of them."""
    names, example = ["first", "second"], tuple(torch.tensor(part).float() for part in data)
    options = {"input_names": names, "dynamic_axes": {name: {1: name} for name in names}}
    path, target = str(tmp_path / "model.onnx"), str(tmp_path / "m.safetensors")
    torch.onnx.export(module.eval(), example, path, dynamo=False, **options)
    status, found, _ = call("quantize", path, "--calibration", ":padded.npz", "-o", target)
    assert status == 0
    assert (found["memory"]["size"], found["input"]["size"]) == (3, 2)
    x, memory = data
    wanted = dl.load(folder / "model.safetensors")(x, memory=memory)
    # both have eight bits, with ranges of other data and layers in other order
    np.testing.assert_allclose(dl.load(target)(x, memory=memory), wanted, rtol=0, atol=2.0**-3)


def test_sensitivity(call):
    words = ["--calibration", ":padded.npz", "--evaluate", ":labelled.npz"]
    status, found, _ = call("sensitivity", ":module.py:make", *words)
    assert status == 0
    assert found["paths"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["inspect", ":model.safetensors", "--data", ":alone.npz"], "Memory must be given"),
        (
            ["quantize", ":module.py:make", "--calibration", ":alone.npz", "-o", "m.safetensors"],
            "Memory must be given",
        ),
        (
            ["evaluate", ":model.safetensors", "--data", ":alone.npz"],
            "must hold the array 'labels'",
        ),
    ],
)
def test_refuses(call, words, sentence):
    status, found, _ = call(*words)
    assert status == 2
    assert len(found["error"]["message"].splitlines()) == 1
    assert re.search(sentence, found["error"]["message"])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"memory": np.zeros((5, 9))}, "Array memory of .* must have shape"),
        (
            {"memory": np.zeros((5, 9, 3)), "memory_lengths": np.array([1, 2, 3, 4, 10])},
            "Array memory_lengths of .* must be from 1 to 9, the timesteps of memory, not 1 to 10",
        ),
        ({"memory_lengths": np.ones(5, int)}, "must hold the array 'memory' with its lengths"),
        ({"memory": np.zeros((4, 9, 3))}, "Memory must have a sequence for each of the input, 5"),
    ],
)
def test_refuses_files(call, data, tmp_path, arrays, sentence):
    np.savez(tmp_path / "x.npz", x=data[0], **arrays)
    words = ["inspect", ":model.safetensors", "--data", str(tmp_path / "x.npz")]
    status, found, _ = call(*words)
    assert status == 2
    assert re.search(sentence, found["error"]["message"])


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
def test_regress(call, simulator):
    status, found, _ = call("regress", ":design", "--simulator", simulator)
    assert status == 0
    assert found["simulators"] == [simulator]


@pytest.mark.slow
def test_the_testbench_that_is_written(folder):
    """It runs with cocotb alone."""
    assert len(testbench.run(folder / "design" / "testbench", "verilator").tests) == 4
