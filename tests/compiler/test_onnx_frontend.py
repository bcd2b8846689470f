"""ONNX files against onnxruntime, and what is refused."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import deltaloom as dl
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.onnx_frontend import from_onnx

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS = 7


def recurrent(folder, kind, inputs=3, hidden=5, *, bias=True, layout=0, peepholes=False, **options):
    """A file with one recurrent node whose output sequence, one direction, is the output."""
    rng = np.random.default_rng(0)
    rows = GATES[kind] * hidden
    ways = 2 if options.get("direction") == "bidirectional" else 1
    arrays = {
        "W": rng.normal(0, 0.5, (ways, rows, inputs)),
        "R": rng.normal(0, 0.5, (ways, rows, hidden)),
    }
    if bias:
        arrays["B"] = rng.normal(0, 0.5, (ways, 2 * rows))
    if peepholes:
        arrays["P"] = rng.normal(0, 0.5, (ways, 3 * hidden))
    names = ["x", "W", "R", "B" if bias else "", "", "", "", "P" if peepholes else ""]
    while not names[-1]:
        names.pop()
    node = helper.make_node(
        kind, names, ["Y"], name="rnn", hidden_size=hidden, layout=layout, **options
    )
    time_first = ["time", 1, inputs]
    shape = time_first if layout == 0 else [1, "time", inputs]
    axis = 1 if layout == 0 else 2  # Y: (time, ways, batch, h) or (batch, time, ways, h)
    if ways == 1:
        nodes = [node, helper.make_node("Squeeze", ["Y", "axes"], ["out"], name="squeeze")]
        extra = {"axes": np.array([axis])}
    else:
        perm = [0, 2, 1, 3] if layout == 0 else [0, 1, 2, 3]
        nodes = [
            node,
            helper.make_node("Transpose", ["Y"], ["T"], name="swap", perm=perm),
            helper.make_node("Reshape", ["T", "shape"], ["out"], name="join"),
        ]
        extra = {"shape": np.array([0, 0, -1])}
    return write(folder, nodes, arrays, extra, shape)


def write(folder, nodes, arrays, extra, shape, rank=3):
    initial = [
        numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items()
    ]
    initial += [numpy_helper.from_array(values, name) for name, values in extra.items()]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * rank)],
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def check_equal(path, inputs, *, time_first=False, **options):
    x = np.random.default_rng(1).normal(size=(1, STEPS, inputs))
    session = onnxruntime.InferenceSession(path)
    given = (x.swapaxes(0, 1) if time_first else x).astype(np.float32)
    (want,) = session.run(None, {session.get_inputs()[0].name: given})
    if time_first and want.ndim == 3:
        want = want.swapaxes(0, 1)
    got = evaluate(from_onnx(path, **options), x)
    # float32 sums of a few dozen products of size one, through gates that do not amplify
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_one_direction(tmp_path, kind, sizes, bias):
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    path = recurrent(tmp_path, kind, *sizes, bias=bias, **options)
    check_equal(path, sizes[0], time_first=True)


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_directions(tmp_path, kind, direction):
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    path = recurrent(tmp_path, kind, direction=direction, **options)
    check_equal(path, 3, time_first=True, max_steps=STEPS)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("bias", [True, False])
def test_reset_before_the_product(tmp_path, bias, direction):
    path = recurrent(tmp_path, "GRU", bias=bias, direction=direction)
    network = from_onnx(path, max_steps=STEPS)
    assert {layer.cell for layer in network.computing} == {"ResetBeforeGRU"}
    check_equal(path, 3, time_first=True, max_steps=STEPS)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_input_and_forget_gate_coupled(tmp_path, direction):
    path = recurrent(tmp_path, "LSTM", direction=direction, input_forget=1)
    network = from_onnx(path, max_steps=STEPS)
    assert {layer.cell for layer in network.computing} == {"CoupledLSTM"}
    check_equal(path, 3, time_first=True, max_steps=STEPS)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_batch_first_layout(tmp_path, kind):
    """onnxruntime has no kernel for layout 1, so it is held to layout 0."""
    x = np.random.default_rng(0).normal(size=(2, STEPS, 3))
    found = []
    for layout in (0, 1):
        folder = tmp_path / str(layout)
        folder.mkdir()
        found.append(evaluate(from_onnx(recurrent(folder, kind, layout=layout)), x))
    np.testing.assert_array_equal(*found)


def test_peepholes(tmp_path):
    check_equal(recurrent(tmp_path, "LSTM", peepholes=True), 3, time_first=True)


def test_relu(tmp_path):
    check_equal(recurrent(tmp_path, "RNN", activations=["Relu"]), 3, time_first=True)


class Model(nn.Module):
    def __init__(self, kind, last, **options):
        super().__init__()
        self.rnn = kind(3, 4, 2, batch_first=True, **options)
        self.head = nn.Linear(4 * (1 + self.rnn.bidirectional), 2)
        self.last = last

    def forward(self, x):
        out, _ = self.rnn(x)
        return torch.sigmoid(self.head(torch.relu(out[:, -1] if self.last else out)))


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.filterwarnings("ignore")
def test_exports_of_torch(tmp_path, kind, bidirectional, last):
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        Model(kind, last, bidirectional=bidirectional).eval(),
        torch.zeros(1, STEPS, 3),
        str(path),
        dynamo=False,
    )
    check_equal(str(path), 3, max_steps=STEPS)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "GRU", "linear_before_reset": 2}, "linear_before_reset"),
        ({"kind": "LSTM", "clip": 1.0}, "clip"),
        ({"kind": "LSTM", "activations": ["Sigmoid", "Relu", "Tanh"]}, "activations"),
        ({"kind": "RNN", "activations": ["Sigmoid"]}, "activations"),
    ],
)
def test_refuses_options_by_name(tmp_path, options, sentence):
    with pytest.raises(UnsupportedError, match=f"rnn.*{sentence}"):
        from_onnx(recurrent(tmp_path, **options))


def test_refuses_operators_by_name(tmp_path):
    nodes = [helper.make_node("Softmax", ["x"], ["out"], name="soft")]
    with pytest.raises(UnsupportedError, match=r"Node soft \(Softmax\)"):
        from_onnx(write(tmp_path, nodes, {}, {}, [1, "time", 3]))


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "text", "cut"])
def test_refuses_broken_files(tmp_path, content):
    path = recurrent(tmp_path, "LSTM")
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    with pytest.raises(DeltaloomError, match="model.onnx"):
        from_onnx(path)
    with pytest.raises(DeltaloomError, match="missing.onnx"):
        from_onnx(tmp_path / "missing.onnx")


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_from_the_file_to_hardware(tmp_path, direction):
    path = recurrent(tmp_path, "GRU", 2, 3, layout=0, direction=direction, linear_before_reset=1)
    x = np.random.default_rng(0).normal(size=(4, 9, 2))
    model = dl.quantize(path, x, dl.Recipe(skip="delta"))
    run = dl.generate(model, lanes=6).simulate(x, "pysim")
    want = evaluate(from_onnx(path, max_steps=9), x)
    assert np.abs(run.outputs - want).max() < 0.05


def test_refuses_weights_in_another_file(tmp_path):
    path = recurrent(tmp_path, "LSTM")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    with pytest.raises(UnsupportedError, match="keeps the tensor . in another file"):
        from_onnx(path)
