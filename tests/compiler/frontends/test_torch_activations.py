import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import deltaloom as dl
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_activations import ACTIVATION_MODULES
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.nn import Activation

MODULES = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Softplus(),
    nn.Softplus(2.5, 3),
    nn.Softsign(),
    nn.SiLU(),
    nn.Mish(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.ELU(),
    nn.ELU(0.3),
    nn.CELU(0.4),
    nn.SELU(),
    nn.LeakyReLU(),
    nn.LeakyReLU(0.25),
    nn.Hardsigmoid(),
    nn.Hardtanh(),
    nn.Hardtanh(-0.25, 0.5),
    nn.Hardswish(),
    nn.Softshrink(),
    nn.LogSigmoid(),
    Activation(torch.sin, "sine"),
    Activation(lambda x: torch.sign(x) * x**2, "signed_square"),
]
CALLS = {
    "relu": torch.relu,
    "relu method": lambda x: x.relu(),
    "sigmoid method": lambda x: x.sigmoid(),
    "tanh method": lambda x: x.tanh(),
    "exp": torch.exp,
    "exp method": lambda x: x.exp(),
    "relu6": functional.relu6,
    "softplus": functional.softplus,
    "softplus with parameters": lambda x: functional.softplus(x, 2.0, threshold=5),
    "softsign": functional.softsign,
    "silu": functional.silu,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "gelu by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "elu": lambda x: functional.elu(x, 0.5),
    "elu by name": lambda x: functional.elu(input=x, alpha=0.5),
    "celu": lambda x: functional.celu(x, alpha=0.5),
    "selu": functional.selu,
    "torch.selu": torch.selu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.125),
    "hardsigmoid": functional.hardsigmoid,
    "hardtanh": lambda x: functional.hardtanh(x, -2, max_val=0.5),
    "hardswish": functional.hardswish,
    "softshrink": functional.softshrink,
    "logsigmoid": functional.logsigmoid,
}


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x))


def data():
    return np.random.default_rng(0).normal(size=(4, 9, 3)) * 3


def check_float(module):
    x = data()
    with torch.no_grad():
        want = module.double()(torch.from_numpy(x)).numpy()
    module.float()
    network = from_torch(module)
    np.testing.assert_allclose(evaluate(network, x), want, atol=2e-6)
    return network


@pytest.mark.parametrize("activation", MODULES, ids=str)
def test_modules_compute_what_torch_does(activation):
    torch.manual_seed(0)
    check_float(nn.Sequential(nn.Linear(3, 5), activation))


@pytest.mark.parametrize("name", CALLS)
def test_functions_compute_what_torch_does(name):
    torch.manual_seed(0)
    check_float(Called(CALLS[name]))


def test_every_module_is_tested():
    assert {type(module) for module in MODULES} == {*ACTIVATION_MODULES, nn.ReLU6}


@pytest.mark.parametrize("activation", MODULES, ids=str)
@pytest.mark.parametrize("tables", ["uniform", "adaptive"])
def test_integers_are_close(activation, tables):
    """As near as weights, inputs and results of 10 bits let them be, by the steepest slope."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), activation)
    x = data()
    recipe = dl.Recipe("int12", "int12", elementwise=10, tables=tables, activation_error=5)
    model = dl.quantize(module, x, recipe)
    with torch.no_grad():
        want = module(torch.from_numpy(x).float()).numpy()
    steps = 2.0**-10 * max(1.0, np.abs(want).max()) * 40
    assert np.abs(model(x) - want).max() < steps
    for layer in model.summary()["layers"]:
        assert all(table["worst_error"] <= 5 for table in layer["tables"].values())


def test_hardware_equals_the_model(tmp_path):
    """Recurrent layers keep their states; a user's own function comes along in the model file."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 4, batch_first=True)
            self.act = nn.Softplus()
            self.mid = nn.Linear(4, 3)
            self.own = Activation(torch.sin, "sine")
            self.head = nn.Linear(3, 5)

        def forward(self, x):
            x = self.own(self.mid(self.act(self.rnn(x)[0])))
            return functional.leaky_relu(self.head(x), 0.25)

    torch.manual_seed(0)
    x = data()
    recipe = dl.Recipe(skip="delta", elementwise=9, activation_error=4)
    dl.quantize(Net(), x, recipe).save(tmp_path / "m.safetensors")
    model = dl.load(tmp_path / "m.safetensors")
    errors = [t["worst_error"] for la in model.summary()["layers"] for t in la["tables"].values()]
    assert errors.count(None) == 1
    run = dl.generate(model, lanes=3).simulate(x[:2], "pysim")
    np.testing.assert_array_equal(run.integers, model.integer(x[:2]))


def test_gradients_are_those_of_torch():
    """In so many bits that rounding has no part in them."""
    torch.manual_seed(0)
    x = torch.from_numpy(data()).float()
    for activation in (nn.GELU(), nn.Softplus(), nn.ELU(0.3), nn.Hardtanh(), nn.LeakyReLU(0.25)):
        module = nn.Sequential(nn.Linear(3, 5), activation)
        prepared = dl.prepare(module, dl.Recipe("int16", "int16"), x)
        prepared(x).square().sum().backward()
        module(x).square().sum().backward()
        got = dict(prepared.named_parameters())
        (weight,) = (p for name, p in got.items() if p.shape == module[0].weight.shape)
        want = module[0].weight.grad
        assert (weight.grad - want).abs().max() < 2e-3 * want.abs().max()


def test_own_functions_are_not_trained_through():
    module = nn.Sequential(nn.Linear(3, 5), Activation(torch.sin, "sine"))
    with pytest.raises(UnsupportedError, match="sine"):
        dl.prepare(module, None, data())


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (nn.Softplus(-1), "has unsupported parameters: Parameter beta of softplus must be"),
        (nn.Sequential(nn.Linear(3, 2), nn.Hardshrink()), r"\(Hardshrink\) is not supported"),
        (nn.ELU(0.0), "Parameter alpha of elu must be from"),
        (nn.CELU(1e-9), "Parameter alpha of elu must be from"),
        (Activation(lambda x: x.sum(), "total"), "must give one number for each that it takes"),
        (Called(lambda x: functional.gelu(x, approximate="erf")), "has unsupported parameters"),
    ],
)
def test_refuses(module, sentence):
    if not isinstance(module, Called | nn.Sequential):
        module = nn.Sequential(nn.Linear(3, 2), module)
    with pytest.raises(UnsupportedError, match=sentence):
        dl.quantize(module, data())


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((3, "three"), TypeError, "Function must be callable, not int"),
        ((torch.sin, "a sine"), ValueError, "Name must be an identifier"),
        ((torch.sin, "tanh"), ValueError, "must not be that of a function of Deltaloom"),
    ],
)
def test_own_functions_are_named(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        Activation(*arguments)


def test_refuses_poles():
    own = Activation(lambda x: 1 / x, "inverse")
    with pytest.raises(dl.DeltaloomError, match="Function inverse must be finite for all inputs"):
        dl.quantize(nn.Sequential(nn.Linear(3, 2), own), data())
