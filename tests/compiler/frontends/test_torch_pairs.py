"""Torch modules that take two sequences, one of which attends to the other."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

import deltaloom as dl
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch, trace_module
from deltaloom.compiler.recipe import Recipe

BATCH, TIME, KEPT = 4, 6, 11
BATCHES = {"batch_first": True}


class Pair(nn.Module):
    """Modules by name, and a forward that is a function of them and two sequences."""

    def __init__(self, body, **parts):
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.body = body

    def forward(self, x, memory):
        return self.body(self.parts, x, memory)


class Swapped(Pair):
    """As translators are often written: what is attended to comes first."""

    def forward(self, source, target):
        return self.body(self.parts, target, source)


class Started(Pair):
    def forward(self, x, memory, h, c):
        return self.body(self.parts, (x, (h, c)), memory)


class Third(Pair):
    def forward(self, x, memory, other):
        return self.body(self.parts, x + other, memory)


class Unasked(Pair):
    def forward(self, memory, x):
        return self.body(self.parts, memory, x)


def translate(parts, x, memory):
    kept, _ = parts["encoder"](memory)
    h, _ = parts["decoder"](x)
    return parts["head"](torch.cat([h, parts["attention"](h, kept)], dim=2))


def translator(kind=Pair, form="dot", **options):
    """An encoder of both directions, a decoder, attention between them, and a head."""
    batches = options or BATCHES
    return kind(
        translate,
        encoder=nn.GRU(3, 4, bidirectional=True, **batches),
        decoder=nn.LSTM(2, 6, **batches),
        attention=dl.nn.Attention(6, 5, form, causal=False, memory_size=8, **batches),
        head=nn.Linear(12, 3),
    )


def asked(parts, x, memory):
    """The memory itself is what is attended to."""
    h, _ = parts["decoder"](x)
    return h + scaled_dot_product_attention(h, memory, memory, scale=0.7)


def one_head(parts, x, memory):
    h, kept = parts["decoder"](x)[0][:, None], memory.unsqueeze(1)
    return scaled_dot_product_attention(h, kept, kept)[:, 0]


def last_asks(parts, x, memory):
    h, _ = parts["decoder"](x)
    kept = parts["memory"](memory)
    kept = kept + parts["among"](kept)
    return parts["attention"](h[:, -1:], kept)[:, 0]


def convolved(parts, x, memory):
    kept = parts["windows"](memory.transpose(1, 2)).transpose(1, 2)
    h, _ = parts["decoder"](x)
    return scaled_dot_product_attention(h, kept, parts["shown"](kept))


def words(parts, x, memory):
    kept, _ = parts["encoder"](parts["known"](memory))
    h, _ = parts["decoder"](parts["said"](x))
    return parts["attention"](h, kept).argmax(-1)


def products(parts, x, memory):
    """As Luong et al. 2015 have it, spelled out."""
    q, kept = parts["query"](parts["decoder"](x)[0]), parts["encoder"](memory)[0]
    k = parts["key"](kept)
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) / 3, dim=-1), kept)


def turned(parts, x, memory):
    q, kept = parts["query"](parts["decoder"](x)[0]), parts["encoder"](memory)[0]
    return parts["soft"](parts["factor"](0.5 * q @ parts["key"](kept).mT)) @ kept


def energies(parts, x, memory):
    """As Bahdanau et al. 2015 have it; the energies' bias is nothing to softmax."""
    q, kept = parts["query"](parts["decoder"](x)[0]), parts["encoder"](memory)[0]
    scores = parts["energy"](torch.tanh(q.unsqueeze(2) + parts["key"](kept).unsqueeze(1)))
    return scores.squeeze(-1).softmax(-1) @ kept


def energies_of_the_last(parts, x, memory):
    q, kept = parts["query"](parts["decoder"](x)[0][:, -1:]), parts["encoder"](memory)[0]
    scores = parts["energy"](parts["tanh"](parts["key"](kept)[:, None] + q[:, :, None]))[..., 0]
    return (torch.softmax(scores * 1.5, 2) @ kept)[:, 0]


def spelled(body):
    def make():
        return Pair(
            body,
            encoder=nn.GRU(3, 4, batch_first=True, bidirectional=True),
            decoder=nn.LSTM(2, 5, batch_first=True),
            query=nn.Linear(5, 4),
            key=nn.Linear(8, 4),
            energy=nn.Linear(4, 1),
            soft=nn.Softmax(dim=2),
            tanh=nn.Tanh(),
            factor=Factor(),
        )

    return make


class Factor(nn.Module):
    """A number, which a buffer holds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("value", torch.tensor(0.9))

    def forward(self, scores):
        return self.value * scores


def started(parts, x, memory):
    h, _ = parts["decoder"](*x)
    return scaled_dot_product_attention(h, memory, memory)


def embedded():
    return Pair(
        words,
        known=nn.Embedding(7, 3),
        said=nn.Embedding(5, 2),
        encoder=nn.GRU(3, 4, batch_first=True),
        decoder=nn.GRU(2, 4, batch_first=True),
        attention=dl.nn.Attention(4, 5, "additive", causal=False, batch_first=True),
    )


MODULES = {
    "dot": translator,
    "additive": lambda: translator(form="additive"),
    "time first": lambda: translator(batch_first=False),
    "the memory first": lambda: translator(Swapped),
    "no encoder": lambda: Pair(asked, decoder=nn.GRU(2, 3, batch_first=True)),
    "one head": lambda: Pair(one_head, decoder=nn.GRU(2, 3, batch_first=True)),
    "one query": lambda: Pair(
        last_asks,
        decoder=nn.GRU(2, 4, batch_first=True),
        memory=nn.Linear(3, 4),
        among=dl.nn.Attention(4, 4, causal=False, batch_first=True),
        attention=dl.nn.Attention(4, 3, causal=False, batch_first=True),
    ),
    "windows": lambda: Pair(
        convolved,
        windows=nn.Conv1d(3, 4, 3, stride=2),
        decoder=nn.GRU(2, 4, batch_first=True),
        shown=nn.Linear(4, 2),
    ),
    "indices": embedded,
    **{body.__name__: spelled(body) for body in (products, turned, energies, energies_of_the_last)},
    "states": lambda: Started(started, decoder=nn.LSTM(2, 3, batch_first=True)),
}


def data(name):
    rng = np.random.default_rng(0)
    if name == "indices":
        return rng.integers(0, 5, (BATCH, TIME, 1)), rng.integers(0, 7, (BATCH, KEPT, 1))
    return rng.normal(size=(BATCH, TIME, 2)), rng.normal(size=(BATCH, KEPT, 3))


@pytest.fixture
def made():
    """A module of :data:`MODULES`, in float64."""

    def make(name):
        torch.manual_seed(0)
        return MODULES[name]().double().eval()

    return make


def told(module, name, x, memory):
    """What torch computes, (batch, time, outputs) or (batch, outputs)."""
    x, memory = torch.tensor(x), torch.tensor(memory)
    with torch.no_grad():
        if name == "indices":
            return module(x[..., 0], memory[..., 0]).numpy()[..., None]
        if name == "time first":
            return module(x.transpose(0, 1), memory.transpose(0, 1)).transpose(0, 1).numpy()
        if name == "states":
            start = torch.zeros(1, BATCH, 3, dtype=torch.float64)
            return module(x, memory, start, start).numpy()
        return module(*((memory, x) if name == "the memory first" else (x, memory))).numpy()


@pytest.mark.parametrize("name", MODULES)
def test_computes_what_torch_does(made, name):
    module, (x, memory) = made(name), data(name)
    network = from_torch(module, {"input": TIME, "memory": KEPT})
    assert list(network.inputs) == ["memory", "input"]
    found = evaluate(network, x, memory=memory)
    # sums of some 50 products of size one, each within 2**-53, through a few layers
    np.testing.assert_allclose(found, told(module, name, x, memory), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "indices"])
def test_golden_model_follows_torch(made, name):
    module, (x, memory) = made(name), data(name)
    recipe = Recipe(weights="int16", activations="int16")
    model = dl.quantize(module, x, recipe, memory=memory)
    wanted = told(module, name, x, memory)
    # 16 bits of values below 4 err by 2**-14 a rounding; some ten of them meet in a result.
    np.testing.assert_allclose(model(x, memory=memory), wanted, rtol=0, atol=2.0**-9)
    taken = model.network.inputs
    assert taken["memory"].max_steps == (12 if name == "windows" else KEPT)
    assert taken["input"].max_steps is None


def test_arguments_and_names(made):
    traced = trace_module(made("the memory first"), KEPT)
    assert traced.arguments == {"memory": "source", "input": "target"}
    assert trace_module(made("time first"), KEPT).axes["memory"] == ("time", "batch", "features")
    traced = trace_module(made("one query"), KEPT)
    assert "parts.memory" in [layer.name for layer in traced.network.layers]
    assert trace_module(made("states"), KEPT).states == 2


class Remembers(nn.Module):
    """A layer that has the name of the input."""

    def __init__(self):
        super().__init__()
        self.memory = nn.Linear(3, 4)
        self.input = nn.Linear(2, 4)

    def forward(self, x, m):
        kept = self.memory(m)
        return scaled_dot_product_attention(self.input(x), kept, kept)


def test_layers_called_as_inputs_are(made):
    torch.manual_seed(0)
    module, (x, memory) = Remembers().double(), data("dot")
    network = from_torch(module, KEPT)
    assert [layer.name for layer in network.layers][:2] == ["memory_1", "input_1"]
    found = evaluate(network, x, memory=memory)
    np.testing.assert_allclose(found, told(module, "dot", x, memory), rtol=0, atol=1e-12)


def test_timesteps_of_each(made):
    module, (x, memory) = made("dot"), data("dot")
    model = dl.quantize(module, x, memory=memory, max_steps={"input": 8, "memory": 30})
    assert model.network.inputs["memory"].max_steps == 30
    with pytest.raises(DeltaloomError, match="max_steps must be by name of input and memory, not"):
        dl.quantize(module, x, memory=memory, max_steps={"x": 8})
    with pytest.raises(DeltaloomError, match="max_steps must be a positive integer, not 0"):
        dl.quantize(module, x, memory=memory, max_steps={"memory": 0})


def test_data_of_both_are_needed(made):
    x, memory = data("dot")
    with pytest.raises(DeltaloomError, match="Memory must be given"):
        dl.quantize(made("dot"), x, max_steps=KEPT)
    with pytest.raises(DeltaloomError, match="Calibration data are unusable: Memory must"):
        dl.quantize(made("dot"), x, memory=x)
    with pytest.raises(DeltaloomError, match="Memory must be left out"):
        dl.quantize(nn.GRU(2, 3, batch_first=True), x, memory=memory)


def from_the_end(parts, x, memory):
    kept, state = parts["encoder"](memory)
    h, _ = parts["decoder"](x, state)
    return scaled_dot_product_attention(h, kept, kept)


def unused(parts, x, memory):
    parts["encoder"](memory)
    return parts["decoder"](x)[0]


def alone(parts, x, memory):
    parts["decoder"](x)
    return parts["encoder"](memory)[0]


def side_by_side(parts, x, memory):
    return torch.cat([parts["decoder"](x)[0], parts["encoder"](memory)[0]], dim=2)


def summed(parts, x, memory):
    return parts["decoder"](x)[0] + parts["encoder"](memory)[0]


def ends_summed(parts, x, memory):
    return parts["decoder"](x)[0][:, -1] + parts["encoder"](memory)[0][:, -1]


def causal(parts, x, memory):
    kept, _ = parts["encoder"](memory)
    h, _ = parts["decoder"](x)
    return scaled_dot_product_attention(h, kept, kept, is_causal=True)


def masked(parts, x, memory):
    kept, _ = parts["encoder"](memory)
    h, _ = parts["decoder"](x)
    return scaled_dot_product_attention(h, kept, kept, attn_mask=torch.ones(TIME, KEPT))


def heads(parts, x, memory):
    return parts["heads"](parts["decoder"](x)[0], memory, memory)[0]


def weights_alone(parts, x, memory):
    return torch.softmax(parts["decoder"](x)[0] @ parts["encoder"](memory)[0].mT, -1)


def logarithms(parts, x, memory):
    kept = parts["encoder"](memory)[0]
    return torch.log_softmax(parts["decoder"](x)[0] @ kept.mT, -1) @ kept


def over_queries(parts, x, memory):
    kept = parts["encoder"](memory)[0]
    return torch.softmax(parts["decoder"](x)[0] @ kept.mT, 1) @ kept


def not_bent(parts, x, memory):
    met = parts["decoder"](x)[0][:, :, None] + parts["encoder"](memory)[0][:, None]
    return torch.relu(met)


REFUSALS = {
    "weights alone": (
        Pair,
        weights_alone,
        r"Output of Pair reads a part of attention; supported is softmax of the scores .*",
    ),
    "logarithms": (Pair, logarithms, r"Function log_softmax reads a part of attention; .*"),
    "weights of queries": (
        Pair,
        over_queries,
        r"Function softmax runs over axis 1 of the scores; supported is the keys, the last one",
    ),
    "energies without tanh": (Pair, not_bent, r"Function relu reads a part of attention; .*"),
    "a third sequence": (
        Third,
        unused,
        r"Forward of Third takes the sequences x, memory, other; supported are two, an input and "
        r"a memory that it attends to",
    ),
    "a start from the encoder": (
        Pair,
        from_the_end,
        r"Module parts\.decoder \(GRU\) is given an initial state that is computed; supported is "
        r"zeros, a constant or parameter, and an input of the module",
    ),
    "a memory that is not read": (
        Pair,
        unused,
        r"Output of Pair does not depend on what memory holds; supported is attention of what "
        r"follows the input to what follows the memory",
    ),
    "an input that is not read": (
        Pair,
        alone,
        r"Output of Pair does not depend on what x holds; .*",
    ),
    "the memory asks": (
        Unasked,
        causal,
        r"Output of Unasked attends to x with queries of memory; supported are keys and values "
        r"of memory, or another name",
    ),
    "features side by side": (
        Pair,
        side_by_side,
        r"Function cat joins tensors with axes \(batch, time, features\) of lengths "
        r"\(batch, time, 4\) and \(batch, time, features\) of lengths "
        r"\(batch, time of the memory, 4\); supported .*",
    ),
    "a sum": (Pair, summed, r"Function add adds tensors .* of lengths \(batch, time of the mem.*"),
    "a sum of ends": (
        Pair,
        ends_summed,
        r"Layer add must not mix streams of the input and of the memory: .*",
    ),
    "the timesteps so far": (
        Pair,
        causal,
        r"Layer scaled_dot_product_attention must not mix streams of the input and of the memory: "
        r".*",
    ),
    "a mask": (
        Pair,
        masked,
        r"Function scaled_dot_product_attention is given attn_mask; supported is is_causal alone",
    ),
    "several heads": (
        Pair,
        heads,
        r"Module parts\.heads \(MultiheadAttention\) is not supported; .*",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case):
    kind, body, sentence = REFUSALS[case]
    module = kind(
        body,
        encoder=nn.GRU(3 if kind is Pair else 2, 4, batch_first=True),
        decoder=nn.GRU(2, 4, batch_first=True),
        heads=nn.MultiheadAttention(4, 2, batch_first=True, kdim=3, vdim=3),
    )
    with pytest.raises((UnsupportedError, DeltaloomError), match=f"^{sentence}$"):
        from_torch(module, max_steps=KEPT)
