"""deltaloom.nn.Attention against torch's functions, and as a network."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

import deltaloom as dl
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch


def tensors(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("causal", [True, False])
def test_dot_is_torchs_function(causal):
    module = dl.nn.Attention(3, 5, causal=causal, batch_first=True).double()
    (x,) = tensors((2, 7, 3))
    q, k, v = (project(x) for project in (module.q_proj, module.k_proj, module.v_proj))
    wanted = module.out_proj(scaled_dot_product_attention(q, k, v, is_causal=causal))
    torch.testing.assert_close(module(x), wanted)


def test_one_head_of_torchs_module():
    theirs = nn.MultiheadAttention(6, 1, batch_first=True).double()
    ours = dl.nn.Attention(6, 6, causal=False, batch_first=True).double()
    with torch.no_grad():
        projections = (ours.q_proj, ours.k_proj, ours.v_proj)
        for place, projection in enumerate(projections):
            projection.weight.copy_(theirs.in_proj_weight[6 * place : 6 * place + 6])
            projection.bias.copy_(theirs.in_proj_bias[6 * place : 6 * place + 6])
        ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
    query, memory = tensors((2, 4, 6), (2, 9, 6))
    torch.testing.assert_close(ours(query, memory), theirs(query, memory, memory)[0])


def test_additive_is_bahdanaus():
    module = dl.nn.Attention(3, 5, "additive", batch_first=True).double()
    (x,) = tensors((1, 6, 3))
    found = module(x)[0]
    q, k, v = (p(x)[0] for p in (module.q_proj, module.k_proj, module.v_proj))
    for step in range(6):
        scores = torch.stack(
            [module.energies @ torch.tanh(q[step] + k[s]) for s in range(step + 1)]
        )
        context = scores.softmax(dim=0) @ v[: step + 1]
        torch.testing.assert_close(found[step], module.out_proj(context))


class Whole(nn.Module):
    """An encoder whose last state asks the whole sequence."""

    def __init__(self, form):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.attention = dl.nn.Attention(4, 5, form, causal=False, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        h, _ = self.rnn(x)
        return self.head(self.attention(h[:, -1:], h)[:, 0])


class Residual(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.attention = dl.nn.Attention(4, 5, form)

    def forward(self, x):
        h, _ = self.rnn(x)
        return h + self.attention(query=h)


class Functional(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.query = nn.Linear(4, 4)
        self.causal = form == "dot"

    def forward(self, x):
        h, _ = self.rnn(x)
        return scaled_dot_product_attention(self.query(h), h, h, is_causal=self.causal, scale=0.7)


MODULES = {
    "alone": lambda form: dl.nn.Attention(3, 5, form, batch_first=True),
    "residual": Residual,
    "without biases": lambda form: dl.nn.Attention(3, 5, form, bias=False, batch_first=True),
    "whole": lambda form: dl.nn.Attention(3, 4, form, causal=False, batch_first=True),
    "function": Functional,
    "last state": Whole,
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("form", ["dot", "additive"])
def test_networks_of_modules(name, form):
    torch.manual_seed(0)
    module = MODULES[name](form).double().eval()
    (x,) = tensors((4, 9, 3))
    network = from_torch(module, max_steps=9)
    given = x.transpose(0, 1) if name == "residual" else x
    wanted = module(given).detach()
    wanted = wanted.transpose(0, 1) if name == "residual" else wanted
    np.testing.assert_allclose(evaluate(network, x.numpy()), wanted.numpy(), rtol=1e-9, atol=1e-9)


def test_names_and_a_quantized_module():
    torch.manual_seed(0)
    model = dl.quantize(dl.nn.Attention(3, 5, batch_first=True), np.ones((2, 4, 3)))
    names = [layer.name for layer in model.network.layers]
    stem = "attention"
    assert names == [f"{stem}.q_proj", f"{stem}.k_proj", f"{stem}.v_proj", stem, f"{stem}.out_proj"]
    assert model.network.inputs["input"].max_steps == 4


class Masked(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.project = nn.Linear(3, 3)
        self.options = options

    def forward(self, x):
        x = self.project(x)
        return scaled_dot_product_attention(x, x, x, **self.options)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Masked(dropout_p=0.5), r"is called with dropout_p=0\.5 and drops at inference too"),
        (Masked(enable_gqa=True), "has enable_gqa=True; supported is one head"),
        (Masked(attn_mask=torch.zeros(4, 4)), "is given attn_mask; supported is is_causal alone"),
    ],
)
def test_refused_options(module, sentence):
    with pytest.raises(UnsupportedError, match=sentence):
        from_torch(module, max_steps=5)


def test_a_length_is_needed():
    with pytest.raises(UnsupportedError, match=r"^Module attention \(Attention\) keeps a sequence"):
        from_torch(dl.nn.Attention(3, 4))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_heads": 2}, "num_heads must be 1, not 2"),
        ({"form": "cosine"}, "form must be one of dot, additive, not 'cosine'"),
        ({"form": "additive", "scale": 2.0}, "scale must be left out in the form 'additive'"),
    ],
)
def test_options_that_are_refused(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        dl.nn.Attention(3, 4, **options)


def test_causal_needs_as_many_timesteps():
    module = dl.nn.Attention(3, 4, batch_first=True)
    with pytest.raises(ValueError, match="not 2 and 3$"):
        module(torch.zeros(1, 2, 3), torch.zeros(1, 3, 3))
