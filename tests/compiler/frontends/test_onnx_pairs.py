"""ONNX files with two sequences against onnxruntime, and what is refused of attention."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

import deltaloom as dl
from deltaloom.compiler.attention import Attention
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.onnx_frontend import from_onnx

TIME, KEPT = 6, 11
EXPORTERS = [False, pytest.param(True, marks=pytest.mark.slow)]  # of torch, by ``dynamo``


class Translator(nn.Module):
    """An encoder of both directions, a decoder, and attention as users spell it out."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.encoder = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.decoder = nn.LSTM(2, 5, batch_first=True)
        self.query = nn.Linear(5, 4)
        self.key = nn.Linear(8, 4)
        self.energy = nn.Linear(4, 1, bias=False)
        self.attention = dl.nn.Attention(
            5, 3, "additive", causal=False, memory_size=8, batch_first=True
        )
        self.head = nn.Linear(13, 3)
        self.short = nn.Linear(10, 3)

    def forward(self, x, memory):
        h, kept = self.decoder(x)[0], self.encoder(memory)[0]
        if self.form == "module":
            return self.short(torch.cat([h, self.attention(h, kept)], dim=2))
        q, k = self.query(h), self.key(kept)
        match self.form:
            case "one head":
                found = scaled_dot_product_attention(q[:, None], k[:, None], kept[:, None])[:, 0]
            case "function":
                found = scaled_dot_product_attention(q, k, kept)
            case "products":
                found = torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) / 3, -1), kept)
            case "scaled queries":
                found = torch.softmax((q * 0.7) @ k.transpose(1, 2), -1) @ kept
            case "plain":
                found = torch.softmax(q @ k.transpose(1, 2), 2) @ kept
            case "energies":
                scores = self.energy(torch.tanh(q.unsqueeze(2) + k.unsqueeze(1)))
                found = torch.softmax(scores.squeeze(-1), -1) @ kept
            case "energies of a column":
                scores = self.energy(torch.tanh(k[:, None] + q[:, :, None]))[..., 0] * 1.5
                found = torch.softmax(scores, -1) @ kept
        return self.head(torch.cat([h, found], dim=2))


class TimeFirst(nn.Module):
    """What is attended to comes first, and time comes before the batch."""

    def __init__(self, _):
        super().__init__()
        self.encoder = nn.GRU(3, 4)
        self.decoder = nn.GRU(2, 4)

    def forward(self, source, target):
        h, kept = self.decoder(target)[0], self.encoder(source)[0]
        q, k = h.transpose(0, 1), kept.transpose(0, 1)
        return (torch.softmax(q @ k.transpose(1, 2), 2) @ k).transpose(0, 1) + h


class LastAsks(Translator):
    def forward(self, x, memory):
        q, kept = self.query(self.decoder(x)[0][:, -1:]), self.encoder(memory)[0]
        return (torch.softmax(q @ self.key(kept).transpose(1, 2), -1) @ kept)[:, 0]


def exported(folder, kind, form, dynamo, *, open_lengths=True, **options):
    """A file of a module, and what onnxruntime makes of random sequences of other lengths."""
    torch.manual_seed(0)
    module = kind(form)
    rng = np.random.default_rng(0)
    time_first = isinstance(module, TimeFirst)

    def draw(batch, time, kept):
        x, memory = rng.normal(size=(batch, time, 2)), rng.normal(size=(batch, kept, 3))
        given = (memory.swapaxes(0, 1), x.swapaxes(0, 1)) if time_first else (x, memory)
        return x, memory, [part.astype(np.float32) for part in given]

    names, axis = ["first", "second"], 0 if time_first else 1
    options["input_names"] = names
    open_lengths = open_lengths and not dynamo  # which fixes those of recurrent modules
    if open_lengths:
        options["dynamic_axes"] = {
            name: {axis: f"time of {name}", 1 - axis: "batch"} for name in names
        }
    path = str(folder / "model.onnx")
    example = tuple(map(torch.tensor, draw(2, TIME, KEPT)[2]))
    torch.onnx.export(
        *(module.eval(), example, path),
        dynamo=dynamo,
        external_data=False,
        verbose=False,
        **options,
    )
    x, memory, given = draw(2, TIME + 2, KEPT - 3) if open_lengths else draw(2, TIME, KEPT)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, dict(zip(names, given, strict=True)))
    return path, x, memory, wanted.swapaxes(0, 1) if time_first else wanted


CASES = {
    **{
        form: Translator
        for form in (
            *("module", "products", "scaled queries", "plain", "energies"),
            *("energies of a column", "one head"),
        )
    },
    "time first": TimeFirst,
    "the last asks": LastAsks,
}


@pytest.mark.parametrize("dynamo", EXPORTERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")
def test_both_exporters_of_torch(tmp_path, case, dynamo):
    path, x, memory, wanted = exported(tmp_path, CASES[case], case, dynamo)
    network = from_onnx(path, max_steps={"input": 2 * TIME, "memory": KEPT})
    assert list(network.inputs) == ["memory", "input"]
    # float32 sums of a few dozen products of size one, through gates that do not amplify
    np.testing.assert_allclose(evaluate(network, x, memory=memory), wanted, rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_one_head_of_torchs_function(tmp_path):
    path, x, memory, wanted = exported(tmp_path, Translator, "one head", True, opset_version=23)
    assert "Attention" in {each.op_type for each in onnx.load(path).graph.node}
    found = evaluate(from_onnx(path), x, memory=memory)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.filterwarnings("ignore")
def test_torchs_function(tmp_path):
    """Which its newer exporter does not take of three axes."""
    path, x, memory, wanted = exported(tmp_path, Translator, "function", False)
    model = dl.quantize(path, x, dl.Recipe("int16", "int16"), memory=memory)
    (attention,) = (each for each in from_onnx(path, None, KEPT).layers if type(each) is Attention)
    assert attention.scale == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_allclose(model(x, memory=memory), wanted, rtol=0, atol=2.0**-9)


def attention_file(path, *more, **attributes):
    """The operator of newer files, on one head."""
    lift = [node("Unsqueeze", [name, "one"], f"lift {name}", f"{name}_1") for name in ("q", "m")]
    inputs = ["q_1", "m_1", "m_1", *more]
    attend = node("Attention", inputs, "attend", "found", **attributes)
    drop = node("Squeeze", ["found", "one"], "drop")
    return write(path / "model.onnx", *lift, attend, drop, opset=23)


@pytest.mark.parametrize("attributes", [{}, {"scale": 0.7}])
def test_the_operator(tmp_path, attributes):
    path = attention_file(tmp_path, **attributes)
    rng = np.random.default_rng(0)
    x, memory = rng.normal(size=(2, TIME, 3)), rng.normal(size=(2, KEPT, 3))
    scores = x @ memory.swapaxes(1, 2) * attributes.get("scale", 3**-0.5)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    wanted = weights @ memory / weights.sum(axis=2, keepdims=True)
    found = evaluate(from_onnx(path, max_steps=KEPT), x, memory=memory)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-7)  # the scale is a float32


@pytest.mark.parametrize(
    ("more", "attributes", "sentence"),
    [
        (["mask"], {}, "has a mask or keys and values of before; supported is is_causal alone"),
        ([], {"q_num_heads": 2}, "has 2 heads; supported is one head"),
        ([], {"softcap": 2.0}, "has a softcap or several outputs; supported is weighted sums .*"),
    ],
)
def test_the_operator_refuses(tmp_path, more, attributes, sentence):
    path = attention_file(tmp_path, *more, **attributes)
    with pytest.raises(UnsupportedError, match=rf"^Node attend \(Attention\) {sentence}$"):
        from_onnx(path, max_steps=KEPT)


@pytest.mark.filterwarnings("ignore")
def test_lengths_of_the_file(tmp_path):
    path, x, memory, wanted = exported(tmp_path, Translator, "plain", False, open_lengths=False)
    network = from_onnx(path)
    assert {each.max_steps for each in network.layers if type(each) is Attention} == {KEPT}
    np.testing.assert_allclose(evaluate(network, x, memory=memory), wanted, rtol=0, atol=2e-5)


QUERIES = helper.make_node("MatMul", ["x", "w"], ["q"], name="queries")
TURNED = helper.make_node("Transpose", ["m"], ["k"], name="turn", perm=[0, 2, 1])
SCORES = helper.make_node("MatMul", ["q", "k"], ["s"], name="scores")


def node(kind, inputs, name, output="out", **attributes):
    return helper.make_node(kind, inputs, [output], name=name, **attributes)


def write(path, *nodes, inputs=("x", "m"), opset=17):
    graph = helper.make_graph(
        [QUERIES, *nodes],
        "network",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, f"time of {name}", 3])
            for name in inputs
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 3)],
        [
            numpy_helper.from_array(values.astype(np.float32), name)
            for name, values in {"w": np.eye(3), "zero": np.zeros(1), "mask": np.eye(5)}.items()
        ]
        + [numpy_helper.from_array(np.array([1]), "one")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


SOFT = node("Softmax", ["s"], "soft", "p")
REFUSALS = {
    "another axis": (
        [TURNED, SCORES, node("Softmax", ["s"], "soft", axis=1)],
        r"Node soft \(Softmax\) runs over axis 1 of the scores; supported is the keys, the last .*",
    ),
    "a mask": (
        [TURNED, SCORES, node("Add", ["s", "mask"], "masked")],
        r"Node masked \(Add\) reads a part of attention; supported is softmax of the scores .*",
    ),
    "weights alone": (
        [TURNED, SCORES, node("Softmax", ["s"], "soft")],
        r"Output out reads a part of attention; supported is softmax of the scores .*",
    ),
    "a division by zero": (
        [TURNED, SCORES, node("Div", ["s", "zero"], "scaled")],
        r"Node scaled \(Div\) divides by zero; supported is another constant",
    ),
    "a third sequence": (
        [TURNED, SCORES, SOFT, node("MatMul", ["p", "v"], "weigh")],
        r"Output out depends on the inputs x, m, v; supported are one, a memory that it attends "
        r"to, and initial states of recurrent operators",
    ),
    "a sum": (
        [node("Add", ["q", "m"], "sum")],
        r"Node sum \(Add\) adds tensors with axes .* of lengths \(2, time of the memory, 3\); .*",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(tmp_path, case):
    nodes, sentence = REFUSALS[case]
    inputs = ("x", "m", "v") if case == "a third sequence" else ("x", "m")
    path = write(tmp_path / "model.onnx", *nodes, inputs=inputs)
    with pytest.raises((UnsupportedError, DeltaloomError), match=f"^{sentence}$"):
        from_onnx(path, max_steps=KEPT)


def test_what_is_called_a_memory_is_one(tmp_path):
    asked = write(
        tmp_path / "model.onnx",
        *(TURNED, SCORES, SOFT, node("MatMul", ["p", "m"], "weigh")),
    )
    assert list(from_onnx(asked, max_steps=KEPT).inputs) == ["memory", "input"]
    model = onnx.load(asked)
    for part in (*model.graph.node, model.graph):
        for entry in getattr(part, "input", []):
            if getattr(entry, "name", None) == "x":
                entry.name = "memory"
        if hasattr(part, "op_type"):
            part.input[:] = ["memory" if name == "x" else name for name in part.input]
    onnx.save(model, asked)
    with pytest.raises(UnsupportedError, match="^Output out attends to m with queries of memory; "):
        from_onnx(asked, max_steps=KEPT)


def test_a_part_of_a_file(tmp_path):
    """The network may begin at a tensor within the file, and still have a memory."""
    path = write(
        tmp_path / "model.onnx",
        node("MatMul", ["m", "w"], "keys", "kept"),
        node("Transpose", ["kept"], "turn", "k", perm=[0, 2, 1]),
        *(SCORES, SOFT, node("MatMul", ["p", "m"], "weigh")),
    )
    rng = np.random.default_rng(0)
    x, memory = rng.normal(size=(2, TIME, 3)), rng.normal(size=(2, KEPT, 3))
    whole = from_onnx(path, max_steps=KEPT)
    part = from_onnx(path, input="q", max_steps=KEPT)
    assert len(part.layers) < len(whole.layers)
    wanted = evaluate(whole, x, memory=memory)  # the weights of the queries are ones
    np.testing.assert_allclose(evaluate(part, x, memory=memory), wanted, rtol=0, atol=1e-12)
