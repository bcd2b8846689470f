"""ConvLSTM as a torch module, against torch's convolutions, and its way into hardware."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import deltaloom as dl
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch, trace_module


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_formulas(module, x, layer=0):
    """Shi et al. 2015, equations 3, on (time, batch, channels, rows, columns)."""
    w, u = (getattr(module, f"weight_{name}_l{layer}") for name in ("ih", "hh"))
    bias = 0
    if module.bias:
        bias = sum(getattr(module, f"bias_{name}_l{layer}") for name in ("ih", "hh"))
        bias = bias[:, None, None]
    p_i, p_f, p_o = getattr(module, f"weight_ph_l{layer}") if module.peepholes else (0.0,) * 3
    h = c = torch.zeros(x.shape[1], *module.state_shape, dtype=x.dtype)
    outputs = []
    for frame in x:
        products = functional.conv2d(
            frame, w, padding=module.padding, dilation=module.of_input.dilation
        )
        products = products + functional.conv2d(h, u, padding="same") + bias
        i, f, g, o = products.split(module.hidden_size, dim=1)
        i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


SHAPES = [  # channels, hidden channels, grid, kernel, padding, dilation, state's kernel
    (1, 1, (1, 1), 1, "same", 1, None),
    (2, 3, (4, 5), 3, "same", 1, None),
    (3, 2, (5, 3), (2, 3), "same", (1, 2), 3),
    (2, 3, (5, 7), (3, 2), "valid", (2, 3), (1, 3)),
    (1, 2, (2, 3), 2, (2, 4), 1, 3),
]


def make(shape, *layers, **options):
    channels, hidden, grid, kernel, padding, dilation, own = shape
    return dl.nn.ConvLSTM(
        channels, hidden, grid, kernel, *layers,
        padding=padding, dilation=dilation, state_kernel_size=own, **options,
    ).double()  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("peepholes", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equations(shape, bias, peepholes):
    module = make(shape, bias=bias, peepholes=peepholes)
    x = torch.randn(11, 4, module.input_size, *module.of_input.grid, dtype=torch.float64)
    wanted, h, c = by_formulas(module, x)
    output, (found_h, found_c) = module(x)
    for found, torchs in [(output, wanted), (found_h[0], h), (found_c[0], c)]:
        torch.testing.assert_close(found, torchs, rtol=0, atol=1e-12)


def test_several_layers_and_batch_first():
    module = make(SHAPES[1][:1] + (2,) + SHAPES[1][2:], 2, batch_first=True, dropout=0.5).eval()
    x = torch.randn(4, 11, 2, 4, 5, dtype=torch.float64)
    between, h0, c0 = by_formulas(module, x.transpose(0, 1))
    wanted, h1, c1 = by_formulas(module, between, 1)
    output, (h, c) = module(x)
    torch.testing.assert_close(output.transpose(0, 1), wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(h, torch.stack([h0, h1]), rtol=0, atol=1e-12)
    torch.testing.assert_close(c, torch.stack([c0, c1]), rtol=0, atol=1e-12)
    alone = module(x[2], tuple(state[:, 2] for state in (h, c)))[0]  # goes on from there
    together = module(x, (h, c))[0]
    torch.testing.assert_close(alone, together[2], rtol=0, atol=1e-12)


def test_is_trained():
    module = dl.nn.ConvLSTM(1, 2, (3, 3), 3, peepholes=True)
    module(torch.randn(5, 2, 1, 3, 3))[0].square().mean().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in module.parameters())


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("peepholes", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_front_end(shape, peepholes, batch_first):
    module = make(shape, peepholes=peepholes, batch_first=batch_first)
    x = torch.randn(4, 9, module.input_size, *module.of_input.grid, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(x if batch_first else x.transpose(0, 1))[0]
    wanted = wanted if batch_first else wanted.transpose(0, 1)
    found = evaluate(from_torch(module), dl.pixel_vectors(x))
    found = dl.frames(found, module.of_input.outputs)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-12)


class Classifier(nn.Module):
    """A head on the last frame, in torch's order or in the vector's."""

    def __init__(self, flatten, layers=2):
        super().__init__()
        self.rnn = dl.nn.ConvLSTM(2, 3, (4, 5), 3, layers, batch_first=True)
        self.head = nn.Linear(60, 7)
        self.flatten = flatten

    def forward(self, x):
        out, (h, _) = self.rnn(x)
        return self.head(self.flatten(torch.relu(out), h))


HEADS = {
    "flattened": lambda out, h: out[:, -1].flatten(1),
    "final state": lambda out, h: h[-1].flatten(1),
    "viewed": lambda out, h: out[:, -1].reshape(out.size(0), -1),
    "every timestep": lambda out, h: out.flatten(2),
    "channels last": lambda out, h: out[:, -1].permute(0, 2, 3, 1).flatten(1),
    "sum": lambda out, h: (out[:, -1] + h[0]).flatten(1),
    "mean over time": lambda out, h: out.mean(1).flatten(1).sigmoid(),
}


@pytest.mark.parametrize("case", HEADS)
def test_heads(case):
    module = Classifier(HEADS[case]).double()
    x = torch.randn(3, 6, 2, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(x).numpy()
    found = evaluate(from_torch(module), dl.pixel_vectors(x))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_in_hardware():
    module = dl.nn.ConvLSTM(1, 2, (3, 4), (2, 3), peepholes=True, batch_first=True).eval()
    x = np.random.default_rng(0).normal(size=(2, 6, 1, 3, 4))
    vectors = dl.pixel_vectors(x)
    model = dl.quantize(module, vectors, dl.Recipe(skip="delta"))
    run = dl.generate(model, lanes=5).simulate(vectors, "pysim")
    with torch.no_grad():
        wanted = module(torch.tensor(x, dtype=torch.float32))[0].numpy()
    assert np.abs(dl.frames(run.outputs, (3, 4)) - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((0, 2, (3, 3), 3), {}, "input_size must be positive, not 0"),
        ((1, 2, (3, 3), 5), {"padding": 0}, "Kernel must fit the padded grid"),
        (
            (1, 2, (3, 3), 3, 2),
            {"padding": 0},
            r"padding must keep the grid where there are 2 layers, not make \(1, 1\) of \(3, 3\)",
        ),
    ],
)
def test_refuses_sizes(arguments, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        dl.nn.ConvLSTM(*arguments, **options)


def test_refuses_input_of_another_shape():
    module = dl.nn.ConvLSTM(1, 2, (3, 4), 3)
    with pytest.raises(
        ValueError,
        match=r"^Input must have 4 or 5 axes, the last of them \(1, 3, 4\), not shape \(5, 2, 1, "
        r"4, 3\)$",
    ):
        module(torch.zeros(5, 2, 1, 4, 3))


REFUSALS = {
    "flattened output": (
        nn.Sequential(dl.nn.ConvLSTM(1, 2, (3, 4), 3)),
        lambda m, x: m[0](x)[0].flatten(2),
        "Output of Model has the channels of a frame one after the other; supported are frames "
        "as they are, and linear layers",
    ),
    "a row": (
        nn.Sequential(dl.nn.ConvLSTM(1, 2, (3, 4), 3)),
        lambda m, x: m[0](x)[0][:, :, :, 0],
        r"Selection \[:, :, :, 0\] takes a part of the rows axis of a tensor with axes \(time, "
        r"batch, channels, rows, columns\); supported is the last timestep alone; the last "
        r"timestep is \[-1\]",
    ),
    "columns mixed with time": (
        nn.Sequential(dl.nn.ConvLSTM(1, 2, (3, 4), 3), nn.Linear(8, 2)),
        lambda m, x: m[1](m[0](x)[0].flatten(3)),
        r"Method flatten gives a tensor with axes \(time, batch, channels, rows, columns\) and "
        r"lengths \(time, batch, 2, 3, 4\) the shape \(time, batch, 2, -1\); supported are axes of "
        r"length one that come and go, and directions joined to features",
    ),
    "wrong head": (
        nn.Sequential(dl.nn.ConvLSTM(1, 2, (3, 4), 3), nn.Linear(23, 2)),
        lambda m, x: m[1](m[0](x)[0][-1].flatten(1)),
        r"Module parts\.1 \(Linear\) reads 23 of 24 elements; supported is all of them",
    ),
}


class Model(nn.Module):
    def __init__(self, parts, body):
        super().__init__()
        self.parts, self.body = parts, body

    def forward(self, x):
        return self.body(self.parts, x)


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case):
    parts, body, sentence = REFUSALS[case]
    with pytest.raises(UnsupportedError, match=f"^{sentence}$"):
        trace_module(Model(parts, body))


def test_training_takes_its_network():
    module = dl.nn.ConvLSTM(1, 2, (3, 4), 3)
    vectors = dl.pixel_vectors(np.random.default_rng(0).normal(size=(2, 6, 1, 3, 4)))
    prepared = dl.prepare(from_torch(module), None, vectors)
    prepared(torch.from_numpy(vectors)).square().mean().backward()
