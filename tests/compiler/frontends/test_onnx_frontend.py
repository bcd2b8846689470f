"""ONNX files against onnxruntime, and what is refused."""

import re

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
from deltaloom.compiler.frontends.onnx_frontend import from_onnx

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS = 7
EXPORTERS = [False, pytest.param(True, marks=pytest.mark.slow)]  # of torch, by ``dynamo``


def recurrent(
    folder,
    kind,
    inputs=3,
    hidden=5,
    *,
    bias=True,
    layout=0,
    peepholes=False,
    starts=None,
    **options,
):
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
    starts = starts or {}
    arrays |= starts
    states = [name if name in starts else "" for name in ("initial_h", "initial_c")]
    names = ["x", "W", "R", "B" if bias else "", "", *states, "P" if peepholes else ""]
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


def write(folder, nodes, arrays, extra, shape, rank=3, opset=17, **inputs):
    initial = [
        numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items()
    ]
    initial += [numpy_helper.from_array(values, name) for name, values in extra.items()]
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, lengths)
            for name, lengths in {"x": shape, **inputs}.items()
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * rank)],
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
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


FUNCTIONS = {
    "relu": ("RNN", {"activations": ["Relu"]}),
    "gates": ("LSTM", {"activations": ["HardSigmoid", "Softsign", "ScaledTanh"],
                       "activation_alpha": [0.3, 1.5], "activation_beta": [0.4, 0.7]}),
    "defaults": ("GRU", {"activations": ["HardSigmoid", "Affine"], "linear_before_reset": 1,
                         "activation_alpha": [0.2, 0.7], "activation_beta": [0.5, 0.1]}),
    "reset before": ("GRU", {"activations": ["Sigmoid", "LeakyRelu"],
                             "activation_alpha": [0.2]}),
    "elu": ("RNN", {"activations": ["Elu"], "activation_alpha": [0.5]}),
    "softplus": ("LSTM", {"activations": ["Sigmoid", "Softplus", "Relu"]}),
    "both ways": ("RNN", {"activations": ["LeakyRelu", "ScaledTanh"], "direction": "bidirectional",
                          "activation_alpha": [0.1, 0.9], "activation_beta": [0.8]}),
    "peepholes": ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Relu"], "peepholes": True,
                           "activation_alpha": [0.25], "activation_beta": [0.5]}),
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_of_recurrent_operators(tmp_path, case):
    kind, options = FUNCTIONS[case]
    check_equal(recurrent(tmp_path, kind, **options), 3, time_first=True, max_steps=STEPS)


ACTIVATIONS = {
    **{kind: {} for kind in ("Abs", "Exp", "Softsign", "Mish", "Softplus", "HardSwish", "Selu")},
    **{kind: {"alpha": 0.3} for kind in ("Elu", "Celu", "LeakyRelu")},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.6},
    "Gelu": {"approximate": "tanh"},
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(tmp_path, kind):
    w = np.random.default_rng(0).normal(size=(3, 4))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node(kind, ["y"], ["out"], name="activation", **ACTIVATIONS[kind]),
    ]
    check_equal(write(tmp_path, nodes, {"w": w}, {}, [1, "time", 3], opset=20), 3)


def test_bounds_and_slopes(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(3, 4)), "a": np.array(-0.5), "b": np.array(0.75)}
    arrays["slope"] = np.array([0.2])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node("PRelu", ["y", "slope"], ["z"], name="leaky"),
        helper.make_node("Clip", ["z", "a", "b"], ["out"], name="clip"),
    ]
    check_equal(write(tmp_path, nodes, arrays, {}, [1, "time", 3], opset=20), 3)
    nodes[2] = helper.make_node("Clip", ["z", "a"], ["out"], name="clip")
    with pytest.raises(UnsupportedError, match="has one bound; supported is min and max"):
        from_onnx(write(tmp_path, nodes, arrays, {}, [1, "time", 3], opset=20))


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


class Graph(nn.Module):
    """What exports of torch have around recurrent layers."""

    def __init__(self, case):
        super().__init__()
        self.case = case
        self.conv = nn.Conv1d(3, 3, 3, padding=1, stride=2)
        self.bn = nn.BatchNorm1d(3)
        self.rnn = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 2)
        self.pool = nn.AdaptiveMaxPool1d(1)
        for values in (*self.parameters(), *self.buffers()):
            if values.is_floating_point():
                nn.init.uniform_(values, 0.1, 0.8)

    def forward(self, x):
        return self.head(getattr(self, self.case)(x))

    def convolved(self, x):
        y = torch.relu(self.bn(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.rnn(y)[0]

    def final_states(self, x):
        h = self.rnn(x)[1][0]
        return torch.cat((h[-2], h[-1]), 1)

    def mean(self, x):
        return self.rnn(x)[0].mean(1)

    def largest(self, x):
        return self.rnn(x)[0].amax(1)

    def pooled(self, x):
        return self.pool(self.rnn(x)[0].transpose(1, 2)).flatten(1)

    def residual(self, x):
        y = self.rnn(x)[0]
        return self.norm(y) + 0.5 * y - torch.sigmoid(y)


@pytest.mark.parametrize("dynamo", EXPORTERS)
@pytest.mark.parametrize(
    "case",
    ["convolved", "final_states", "mean", "largest", "pooled", "residual"],
)
@pytest.mark.filterwarnings("ignore")
def test_both_exporters_of_torch(tmp_path, case, dynamo):
    torch.manual_seed(0)
    path = str(tmp_path / "model.onnx")
    export(Graph(case), torch.zeros(1, STEPS, 3), path, dynamo)
    check_equal(path, 3, max_steps=STEPS)


@pytest.mark.parametrize("dynamo", EXPORTERS)
@pytest.mark.filterwarnings("ignore")
def test_open_lengths_and_embeddings(tmp_path, dynamo):
    """Batch and time are left open in the file."""

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(11, 3, padding_idx=0)
            self.rnn = nn.GRU(3, 4, batch_first=True)
            self.head = nn.Linear(4, 5)

        def forward(self, x):
            return torch.softmax(self.head(self.rnn(self.words(x))[0]), -1).argmax(-1)

    torch.manual_seed(0)
    path = str(tmp_path / "model.onnx")
    x = np.random.default_rng(0).integers(0, 11, (3, STEPS))
    shapes = (
        {"dynamic_shapes": ({0: "batch", 1: "time"},)}
        if dynamo
        else {"dynamic_axes": {"x": {0: "batch", 1: "time"}}, "input_names": ["x"]}
    )
    export(Words(), torch.from_numpy(x), path, dynamo, **shapes)
    session = onnxruntime.InferenceSession(path)
    (wanted,) = session.run(None, {session.get_inputs()[0].name: x})
    found = evaluate(from_onnx(path), x[..., None])
    np.testing.assert_array_equal(found[..., 0], wanted)


def export(module, example, path, dynamo, **options):
    torch.onnx.export(
        *(module.eval(), (example,), path),
        dynamo=dynamo,
        external_data=False,
        verbose=False,
        **options,
    )


def keras_bidirectional():
    """Weights of Keras' Bidirectional(LSTM) with a Dense after it, as tf2onnx writes them."""
    rng = np.random.default_rng(0)
    return {
        "W": rng.normal(0, 0.5, (2, 20, 3)),
        "R": rng.normal(0, 0.5, (2, 20, 5)),
        "B": rng.normal(0, 0.5, (2, 40)),
        "dense": rng.normal(size=(10, 4)),
        "bias": rng.normal(size=4),
    }


def test_graphs_of_keras_sequences(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="time_first", perm=[1, 0, 2]),
        helper.make_node(
            "LSTM", ["t", "W", "R", "B"], ["Y"], name="lstm", hidden_size=5,
            direction="bidirectional",
        ),
        helper.make_node("Transpose", ["Y"], ["ways"], name="ways", perm=[2, 0, 1, 3]),
        helper.make_node("Split", ["ways", "halves"], ["a", "b"], name="split", axis=2),
        helper.make_node("Squeeze", ["a", "axes"], ["forward"], name="forward"),
        helper.make_node("Squeeze", ["b", "axes"], ["backward"], name="backward"),
        helper.make_node("Concat", ["forward", "backward"], ["both"], name="both", axis=-1),
        helper.make_node("MatMul", ["both", "dense"], ["product"], name="dense_product"),
        helper.make_node("Add", ["product", "bias"], ["out"], name="dense_bias"),
    ]  # fmt: skip
    extra = {"halves": np.array([1, 1]), "axes": np.array([2])}
    path = write(tmp_path, nodes, keras_bidirectional(), extra, [1, "time", 3])
    check_equal(path, 3, max_steps=STEPS)


def test_graphs_of_keras_last_states(tmp_path):
    """The states of both directions, and zeros to start from of a computed shape."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="time_first", perm=[1, 0, 2]),
        helper.make_node("Shape", ["x"], ["shape"], name="shape"),
        helper.make_node("Slice", ["shape", "zero", "one"], ["batch"], name="batch"),
        helper.make_node("Concat", ["two", "batch", "five"], ["state"], name="state", axis=0),
        helper.make_node("ConstantOfShape", ["state"], ["h0"], name="zeros"),
        helper.make_node(
            "LSTM", ["t", "W", "R", "B", "", "h0", "h0"], ["", "Y_h"], name="lstm", hidden_size=5,
            direction="bidirectional",
        ),
        helper.make_node("Split", ["Y_h"], ["a", "b"], name="split", axis=0, num_outputs=2),
        helper.make_node("Squeeze", ["a", "zero"], ["forward"], name="forward"),
        helper.make_node("Squeeze", ["b", "zero"], ["backward"], name="backward"),
        helper.make_node("Concat", ["forward", "backward"], ["both"], name="both", axis=1),
        helper.make_node("MatMul", ["both", "dense"], ["product"], name="dense_product"),
        helper.make_node("Sub", ["product", "bias"], ["out"], name="dense_bias"),
    ]  # fmt: skip
    extra = {name: np.array([n]) for name, n in zip(["zero", "one", "two", "five"], [0, 1, 2, 5],
                                                    strict=True)}  # fmt: skip
    path = write(tmp_path, nodes, keras_bidirectional(), extra, [1, "time", 3], rank=2, opset=18)
    check_equal(path, 3, max_steps=STEPS)


@pytest.mark.parametrize("place", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID", "strides": [1, 3]},
        {"pads": [0, 2, 0, 1], "strides": [1, 2], "dilations": [1, 2]},
    ],
)
def test_convolutions_of_keras(tmp_path, place, options):
    """Over two axes, one of which is one long."""
    rng = np.random.default_rng(0)
    options = {
        name: values if isinstance(values, str) else swapped(values, place)
        for name, values in options.items()
    }
    shape = (4, 3, 1, 4) if place == 2 else (4, 3, 4, 1)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="channels_first", perm=[0, 2, 1]),
        helper.make_node("Unsqueeze", ["t", "place"], ["plane"], name="plane"),
        helper.make_node("Conv", ["plane", "k", "b"], ["y"], name="conv", **options),
        helper.make_node("Squeeze", ["y", "place"], ["s"], name="line"),
        helper.make_node("Transpose", ["s"], ["out"], name="channels_last", perm=[0, 2, 1]),
    ]
    arrays = {"k": rng.normal(size=shape), "b": rng.normal(size=4)}
    path = write(tmp_path, nodes, arrays, {"place": np.array([place])}, [1, "time", 3])
    check_equal(path, 3)


def swapped(values, place):
    """Of both axes; given with time as the second one."""
    if place == 2:
        return values
    first, second = values[:2][::-1], values[2:][::-1]
    return [*first, *second]


ELEMENTWISE = {
    "Mul": ["y", "c"],
    "Div": ["y", "c"],
    "Sub": ["c", "y"],
    "Neg": ["y"],
    "Sum": ["y", "c", "y"],
}


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_elementwise_operators(tmp_path, kind):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node(kind, ELEMENTWISE[kind], ["out"], name="operator"),
    ]
    arrays = {"w": rng.normal(size=(3, 4)), "c": rng.uniform(1, 2, (1, 1, 4))}
    check_equal(write(tmp_path, nodes, arrays, {}, [1, "time", 3]), 3)


@pytest.mark.parametrize(
    ("kind", "inputs", "options", "sentence"),
    [
        ("Mul", ["y", "y"], {}, "multiplies two computed tensors; supported is a tensor and a "),
        ("Softmax", ["y"], {}, None),
        ("Split", ["y"], {"axis": 2, "num_outputs": 1}, "splits the features axis; supported is "),
        ("LayerNormalization", ["y", "c"], {"axis": 1}, "normalises 2 axes; supported is the last"),
        ("Conv", ["y", "k"], {"group": 2}, "has group=2; supported is group=1"),
        ("Conv", ["y", "k"], {"auto_pad": "SAME_UPPER", "strides": [2]}, "has auto_pad=SAME_UPPER"),
        ("MaxPool", ["y"], {"kernel_shape": [2]}, "reads a tensor with axes (batch, time, feat"),
        ("Pow", ["y", "y"], {}, "is not supported; supported are LSTM, GRU, "),
    ],
)
def test_refuses_uses_by_name(tmp_path, kind, inputs, options, sentence):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node(kind, inputs, ["out"], name="operator", **options),
    ]
    arrays = {"w": rng.normal(size=(3, 4)), "c": np.ones(4), "k": rng.normal(size=(4, 2, 1))}
    path = write(tmp_path, nodes, arrays, {}, [1, "time", 3], opset=18)
    start = f"Node operator ({kind}) "
    if kind == "Softmax":
        start, sentence = "Output out reads what Node operator (Softmax) gives; ", "supported is "
    with pytest.raises(UnsupportedError, match="^" + re.escape(start + sentence)):
        from_onnx(path)


def test_states_that_the_file_takes(tmp_path):
    """Sequences start from zeros, or from the states of the call."""
    rng = np.random.default_rng(0)
    w, r = rng.normal(0, 0.5, (1, 15, 3)), rng.normal(0, 0.5, (1, 15, 5))
    nodes = [
        helper.make_node(
            "GRU", ["x", "W", "R", "", "", "h"], ["Y"], name="rnn", hidden_size=5,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["Y", "axes"], ["out"], name="squeeze"),
    ]  # fmt: skip
    path = write(
        tmp_path, nodes, {"W": w, "R": r}, {"axes": np.array([1])}, ["time", 1, 3], h=[1, 1, 5]
    )
    x, h = rng.normal(size=(1, STEPS, 3)), rng.normal(size=(1, 1, 5))
    session, network = onnxruntime.InferenceSession(path), from_onnx(path)
    for start in (np.zeros_like(h), h):
        given = {"x": x.swapaxes(0, 1).astype(np.float32), "h": start.astype(np.float32)}
        (wanted,) = session.run(None, given)
        found = evaluate(network, x, states={"rnn": {"h": start[0]}})
        np.testing.assert_allclose(found[0], wanted[:, 0], rtol=0, atol=2e-5)


def test_part_of_a_file(tmp_path):
    """What computes the chosen input is left out, whatever it is."""
    nodes = [
        helper.make_node("Pow", ["x", "x"], ["power"], name="power"),
        helper.make_node("MatMul", ["power", "w"], ["y"], name="product"),
        helper.make_node("Relu", ["y"], ["out"], name="relu"),
    ]
    w = np.random.default_rng(0).normal(size=(3, 4))
    path = write(tmp_path, nodes, {"w": w}, {}, [1, "time", 3])
    x = np.random.default_rng(1).normal(size=(1, STEPS, 3))
    found = evaluate(from_onnx(path, input="power"), x)
    np.testing.assert_allclose(found, np.maximum(x @ w.astype(np.float32), 0), atol=1e-12)
    network = from_onnx(path, "y", input="power")
    np.testing.assert_allclose(evaluate(network, x), x @ w.astype(np.float32), atol=1e-12)
    with pytest.raises(UnsupportedError, match="^Output out must depend on input rower, which it"):
        from_onnx(path, input="rower")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "GRU", "linear_before_reset": 2}, "linear_before_reset"),
        ({"kind": "LSTM", "clip": 1.0}, "clip"),
        ({"kind": "LSTM", "activations": ["Sigmoid", "Relu"]}, "has the activations Sigmoid, Relu"),
        ({"kind": "RNN", "activations": ["ThresholdedRelu"]}, "1 for each direction, of relu"),
        ({"kind": "RNN", "activation_alpha": [1.0]}, "more numbers in activation_alpha than"),
        (
            {"kind": "RNN", "activations": ["HardSigmoid"], "activation_alpha": [-1.0]},
            "has unsupported parameters: Parameter alpha of hard_sigmoid must be",
        ),
        (
            {"kind": "LSTM", "input_forget": 1, "activations": ["Relu", "Tanh", "Tanh"]},
            "has input_forget=1 and the gates' activation relu; supported is Sigmoid",
        ),
    ],
)
def test_refuses_options_by_name(tmp_path, options, sentence):
    with pytest.raises(UnsupportedError, match=f"rnn.*{sentence}"):
        from_onnx(recurrent(tmp_path, **options))


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


def starts_of(kind, ways, hidden=5, batch=1):
    rng = np.random.default_rng(7)
    names = ("initial_h", "initial_c") if kind == "LSTM" else ("initial_h",)
    return {name: rng.normal(size=(ways, batch, hidden)) for name in names}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_constant_initial_states(tmp_path, kind, direction):
    starts = starts_of(kind, 2 if direction == "bidirectional" else 1)
    path = recurrent(tmp_path, kind, direction=direction, starts=starts)
    network = from_onnx(path, max_steps=STEPS)
    assert all(len(layer.initial) == len(starts) for layer in network.computing)
    check_equal(path, 3, time_first=True, max_steps=STEPS)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((1, 2, 5), "the same for the whole batch"), ((1, 1, 4), "one vector of 5 a direction")],
)
def test_initial_states_that_are_refused(tmp_path, shape, sentence):
    starts = {"initial_h": np.random.default_rng(0).normal(size=shape)}
    path = recurrent(tmp_path, "GRU", starts=starts)
    with pytest.raises(UnsupportedError, match=sentence):
        from_onnx(path)
