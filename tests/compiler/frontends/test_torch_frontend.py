import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import deltaloom as dl
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends import torch_interpreter
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.network import LastStep

TOLERANCE = 1e-12  # float64: 120 steps of sums of some 30 products, each within 2**-53, and room


def names(network):
    return [layer.name for layer in network.layers]


def check_equal(module, network, features, *, batch=3, time=23, time_first=False):
    """The network gives what the module gives in evaluation mode, to the last float64 digits."""
    x = torch.randn(batch, time, features, dtype=torch.float64)
    was_training = module.training
    module.double().eval()
    with torch.no_grad():
        expected = module(x.transpose(0, 1) if time_first else x)
    module.train(was_training)
    if isinstance(expected, tuple):
        expected = expected[0]
    if time_first and expected.ndim == 3:
        expected = expected.transpose(0, 1)
    found = evaluate(network, x)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=TOLERANCE)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


RECURRENT = {
    "rnn": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize(("features", "hidden"), [(1, 1), (7, 5), (3, 13)])
@pytest.mark.parametrize(("num_layers", "bias"), [(1, True), (1, False), (3, True), (2, False)])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_modules(kind, features, hidden, num_layers, bias, batch_first):
    module = RECURRENT[kind](
        features, hidden, num_layers=num_layers, bias=bias, batch_first=batch_first
    ).double()
    network = from_torch(module)
    stem = {"relu": "rnn"}.get(kind, kind)
    assert names(network) == [f"{stem}.{index}" for index in range(num_layers)]
    check_equal(module, network, features, time_first=not batch_first)


@pytest.mark.parametrize(("hidden", "proj_size"), [(5, 2), (7, 1), (4, 3)])
@pytest.mark.parametrize(("num_layers", "bias"), [(1, True), (2, False)])
def test_projections(hidden, proj_size, num_layers, bias):
    module = nn.LSTM(
        3, hidden, num_layers=num_layers, bias=bias, proj_size=proj_size, batch_first=True
    ).double()
    check_equal(module, from_torch(module), 3)


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize(("batch", "time"), [(1, 120), (5, 1)])
def test_long_and_short(kind, batch, time):
    module = RECURRENT[kind](3, 11, batch_first=True).double()
    check_equal(module, from_torch(module), 3, batch=batch, time=time)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_weights_are_taken_as_they_are(dtype):
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.GRU(4, 5, batch_first=True)).to(dtype)
    network = from_torch(module)
    assert all(p.dtype == np.float64 for layer in network.layers for p in layer.parameters.values())
    check_equal(module, network, 3)


def test_linear_alone():
    module = nn.Linear(5, 3).double()
    network = from_torch(module)
    assert names(network) == ["linear"]
    check_equal(module, network, 5)


def test_training_mode_and_dropout():
    module = nn.Sequential(
        nn.Dropout(0.5), nn.LSTM(3, 4, 2, dropout=0.5, batch_first=True)
    ).double()
    network = from_torch(module.train())
    assert module.training
    assert module[1].training
    check_equal(module, network, 3)


def test_sequential_activations_are_folded():
    module = nn.Sequential(
        nn.Linear(3, 5, bias=False),
        nn.ReLU(inplace=True),
        nn.Identity(),
        nn.Sequential(nn.Linear(5, 4), nn.Dropout(), nn.Sigmoid()),
        nn.Linear(4, 2),
        nn.Tanh(),
    ).double()
    network = from_torch(module)
    assert names(network) == ["0", "3.0", "4"]
    check_equal(module, network, 3)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("function", ["relu", "tanh", "sigmoid"])
def test_activation_of_a_recurrent_layer_leaves_its_state(kind, function):
    act = getattr(torch, function)
    for body in (
        lambda m, x: m.head(act(m.rnn(x)[0])),
        lambda m, x: act(m.rnn(x)[0][:, -1]),
        lambda m, x: m.other(act(m.rnn(x)[0]))[0],
    ):
        module = Model(body, kind=kind).double()
        module.other = nn.GRU(4, 3, batch_first=True).double()
        check_equal(module, from_torch(module), 3)


def test_activations_one_after_the_other():
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Tanh(), nn.Tanh()).double()
    check_equal(module, from_torch(module), 3)


def test_activated_output_in_hardware():
    """The state is not activated, and what leaves is; two tables where one stood."""
    torch.manual_seed(0)
    for function in (torch.relu, torch.sigmoid):
        module = Model(lambda m, x, function=function: m.head(function(m.rnn(x)[0]))).float()
        x = np.random.default_rng(0).normal(size=(3, 40, 3))
        model = dl.quantize(module, x, dl.Recipe(skip="delta"))
        run = dl.generate(model, lanes=5).simulate(x, "pysim")
        with torch.no_grad():
            wanted = module(torch.tensor(x, dtype=torch.float32)).numpy()
        assert np.abs(run.outputs - wanted).max() < 0.05 * np.abs(wanted).max()


def test_network_is_a_copy():
    module = nn.Linear(2, 2).double()
    network = from_torch(module)
    before = network.layers[0].parameters["y.x"].copy()
    with torch.no_grad():
        module.weight.zero_()
    np.testing.assert_array_equal(network.layers[0].parameters["y.x"], before)


class Model(nn.Module):
    """Two layers, a head, and a forward given as a function of them."""

    def __init__(self, body, *, kind=nn.GRU, num_layers=2, batch_first=True, **options):
        super().__init__()
        self.body = body
        self.rnn = kind(3, 4, num_layers, batch_first=batch_first, **options)
        self.head = nn.Linear(4, 2)
        self.second = nn.Linear(4, 4)
        self.other = nn.GRU(4, 4)
        self.drop = nn.Dropout(0.5)
        self.bias = nn.Parameter(torch.randn(2))
        self.start = nn.Parameter(torch.randn(2, 1, 4))
        self.double()

    def forward(self, x):
        return self.body(self, x)


WHOLE = ["rnn.0", "rnn.1", "head"]
LAST = ["rnn.0", "rnn.1", "last_step", "head"]
LATE = ["rnn.0", "rnn.1", "head", "last_step"]


def unpacked(m, x):
    out, _ = m.rnn(x)
    return m.head(out)


def unpacked_state(m, x):
    _, h = m.rnn(x)
    return m.head(m.drop(h[-1]))


def unpacked_lstm(m, x):
    _, (h, _) = m.rnn(x)
    return m.head(h[-1])


def zeros_given(m, x):
    h = torch.zeros(2, x.size(0), 4, dtype=x.dtype, device=x.device).to(x.device)
    return m.head(m.rnn(x, h)[0])


def new_zeros_given(m, x):
    batch, _, _ = x.shape
    h, c = x.new_zeros(2, batch, 4), x.new_zeros(2, batch, 4)
    out, (_, _) = m.rnn(x, (h, c))
    return m.head(out[:, -1])


FORWARDS = [
    (unpacked, {}, WHOLE),
    (lambda m, x: m.head(m.rnn(x)[0][:, -1]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[0][:, -1, :]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[0][..., -1, :]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[0].select(1, -1)), {}, LAST),
    (lambda m, x: m.head(torch.select(m.rnn(x)[0], 1, -1)), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[0][:, :, :].contiguous()[:, -1]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[0])[:, -1], {}, LATE),
    (lambda m, x: functional.relu(m.head(m.rnn(x)[0])[:, -1]), {}, LATE),
    (unpacked_state, {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[1][-1, :, :]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[1][1]), {}, LAST),
    (lambda m, x: m.head(m.rnn(x)[1][0]), {}, ["rnn.0", "last_step", "head"]),
    (
        lambda m, x: m.head(m.rnn(x)[1].squeeze(0)),
        {"num_layers": 1},
        ["rnn.0", "last_step", "head"],
    ),
    (unpacked_lstm, {"kind": nn.LSTM}, LAST),
    (lambda m, x: m.head(m.rnn(x)[1][0][-1]), {"kind": nn.LSTM}, LAST),
    (zeros_given, {}, WHOLE),
    (new_zeros_given, {"kind": nn.LSTM}, LAST),
    (lambda m, x: m.head(m.rnn(x, None)[0]), {}, WHOLE),
    (lambda m, x: m.head(m.rnn(input=x)[0]), {}, WHOLE),
    (lambda m, x: m.head(torch.relu(m.second(m.rnn(x)[0]))), {}, [*WHOLE[:2], "second", "head"]),
    (lambda m, x: m.head(m.second(m.rnn(x)[0]).tanh()), {}, [*WHOLE[:2], "second", "head"]),
    (lambda m, x: m.head(functional.dropout(m.rnn(x)[0], 0.5, m.training)), {}, WHOLE),
    (lambda m, x: functional.linear(m.rnn(x)[0], m.head.weight, m.bias), {}, WHOLE),
    (lambda m, x: functional.linear(m.rnn(x)[0], m.head.weight), {}, WHOLE),
]


@pytest.mark.parametrize(("body", "options", "layers"), FORWARDS)
def test_forwards(body, options, layers):
    module = Model(body, **options)
    network = from_torch(module)
    assert names(network) == layers
    assert all(
        isinstance(layer, LastStep) == (layer.name == "last_step") for layer in network.layers
    )
    check_equal(module, network, 3)


def swapped_inside(m, x):
    out = m.rnn(x.transpose(0, 1))[0]
    return m.head(out.permute(1, 0, 2))


@pytest.mark.parametrize(
    ("body", "time_first", "layers"),
    [
        (unpacked, True, WHOLE),
        (lambda m, x: m.head(m.rnn(x)[0][-1]), True, LAST),
        (lambda m, x: m.head(m.rnn(x)[0][-1, :, :]), True, LAST),
        (unpacked_state, True, LAST),
        (swapped_inside, False, WHOLE),
        (lambda m, x: m.head(m.rnn(torch.transpose(x, 1, 0))[0][-1]), False, LAST),
    ],
)
def test_time_first_modules(body, time_first, layers):
    module = Model(body, batch_first=False)
    network = from_torch(module)
    assert names(network) == layers
    check_equal(module, network, 3, time_first=time_first)


class Optional(Model):
    def forward(self, x, state=None, *, last=True):
        out, state = self.rnn(x) if state is None else self.rnn(x, state)
        return self.head(out[:, -1] if last else out)


def test_optional_arguments_take_their_defaults():
    module = Optional(None)
    network = from_torch(module)
    assert names(network) == LAST
    check_equal(module, network, 3)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"a": Model(lambda m, x: m.rnn(x)[0])})
        self.recurrent = nn.ModuleList([nn.LSTM(4, 5, batch_first=True)])
        self.head = nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x):
        for layer in self.recurrent:
            x = layer(self.encoder["a"](x))[0]
        return self.head(x[:, -1])


def test_nested_modules():
    module = Nested().double()
    network = from_torch(module)
    assert names(network) == [
        "encoder.a.rnn.0", "encoder.a.rnn.1", "recurrent.0.0", "last_step", "head.0", "head.2",
    ]  # fmt: skip
    check_equal(module, network, 3)


class AwkwardName(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.last_step = nn.Linear(4, 2)

    def forward(self, x):
        return self.last_step(self.rnn(x)[0][:, -1])


def test_a_module_called_last_step():
    module = AwkwardName().double()
    network = from_torch(module)
    assert names(network) == ["rnn.0", "last_step_1", "last_step"]
    check_equal(module, network, 3)


def test_subclasses_that_add_nothing():
    class Mine(nn.LSTM):
        pass

    module = nn.Sequential(nn.Linear(2, 3), Mine(3, 4, batch_first=True)).double()
    check_equal(module, from_torch(module), 2)


def test_parametrized_linear():
    module = nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        torch.nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2)),
    ).double()
    network = from_torch(module)
    check_equal(module, network, 3)


def test_parametrized_recurrent_weights_are_torchs():
    module = nn.GRU(3, 4, batch_first=True).double()
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    check_equal(module, from_torch(module), 3)
    with torch.no_grad():  # torch's own forward goes on with the old weights
        module.parametrizations.weight_hh_l0.original1.mul_(3)
    with pytest.raises(
        UnsupportedError,
        match=r"^Parameter gru\.weight_hh_l0 is not the one that the module's own forward pass "
        r"reads, as happens with parametrized recurrent weights; make it plain with "
        r"torch\.nn\.utils\.parametrize\.remove_parametrizations$",
    ):
        from_torch(module)


SUPPORTED = rf"supported are {re.escape(torch_interpreter.SUPPORTED)}"
LAST_STEP = r"supported is the last timestep alone; the last timestep is \[:, -1\]"


def stored_state(m, x):
    out, m.state = m.rnn(x)
    return m.head(out)


def inplace_shared(m, x):
    y = m.second(m.rnn(x)[0])[:, -1]
    return torch.cat([functional.relu(y, inplace=True), y], -1)


def batch_assigned(m, x):
    out = m.rnn(x)[0]
    out[:, 0] = 0
    return m.head(out)


def branch(m, x):
    return m.head(m.rnn(x)[0]) if x.sum() > 0 else m.head(x)


LSTM = {"kind": nn.LSTM}
REFUSALS = {
    "bidirectional": (
        Model(unpacked, bidirectional=True),
        r"Module rnn \(GRU\) walks sequences from their end and needs the timesteps of the "
        r"longest: max_steps must be given",
    ),
    "module": (
        nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4)),
        rf"Module 1 \(GroupNorm\) is not supported; {SUPPORTED}",
    ),
    "module alone": (
        nn.Conv2d(3, 4, 1),
        rf"Module Conv2d \(Conv2d\) is not supported; {SUPPORTED}",
    ),
    "cell module": (
        nn.Sequential(nn.GRUCell(3, 4)),
        rf"Module 0 \(GRUCell\) is not supported; {SUPPORTED}",
    ),
    "function": (
        Model(lambda m, x: torch.sin(m.head(m.rnn(x)[0]))),
        rf"Function sin is not supported; {SUPPORTED}",
    ),
    "residual": (
        Model(lambda m, x: m.rnn(x)[0] + m.second(m.rnn(x)[0])),
        r"Module rnn \(GRU\) is called more than once; supported is one call, as a layer's "
        r"hardware has one place in the network",
    ),
    "softmax": (
        Model(lambda m, x: torch.softmax(m.head(m.rnn(x)[0]), -1)),
        r"Output of Model reads what Function softmax gives; supported is argmax of the features, "
        r"for which softmax changes nothing and can be left out",
    ),
    "method": (
        Model(lambda m, x: m.head(m.rnn(x)[0].cumsum(1))),
        rf"Method cumsum is not supported; {SUPPORTED}",
    ),
    "batch reshape": (
        Model(lambda m, x: m.head(m.rnn(x)[0].reshape(-1, 4))),
        r"Method reshape gives a tensor with axes \(batch, time, features\) and lengths \(batch, "
        r"time, 4\) the shape \(-1, 4\); supported are axes of length one that come and go, and "
        r"directions joined to features",
    ),
    "shared module": (
        nn.Sequential(shared := nn.Linear(3, 3), nn.Tanh(), shared),
        r"Module 0 \(Linear\) is called more than once; supported is one call, as a layer's "
        r"hardware has one place in the network",
    ),
    "shared weights": (
        Model(lambda m, x: functional.linear(m.second(m.rnn(x)[0]), m.second.weight)),
        r"Function linear with the weights of second is called more than once; supported is one "
        r"call, as a layer's hardware has one place in the network",
    ),
    "computed weights": (
        Model(lambda m, x: functional.linear(x, m.rnn(x)[0])),
        r"Function linear has computed weights; supported are the module's own parameters",
    ),
    "two outputs": (
        Model(lambda m, x: (m.head(m.rnn(x)[0]), x)),
        r"Forward of Model returns 2 values; supported is one tensor: a sequence, or one "
        r"vector for each",
    ),
    "pair": (
        Model(lambda m, x: m.rnn(x)),
        r"Forward of Model returns 2 values; supported is one tensor: a sequence, or one "
        r"vector for each",
    ),
    "dictionary": (
        Model(lambda m, x: {"y": m.head(m.rnn(x)[0])}),
        r"Forward of Model returns 1 values; supported is one tensor: a sequence, or one "
        r"vector for each",
    ),
    "pair into a linear layer": (
        nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 2)),
        r"Module 1 \(Linear\) reads the pair \(output, state\) of a recurrent module; take its "
        r"output, \[0\], first",
    ),
    "cell state": (
        Model(lambda m, x: m.head(m.rnn(x)[1][1][-1]), **LSTM),
        r"Function getitem reads the final cell state of module rnn; supported are its output "
        r"and its final hidden state",
    ),
    "cell state whole": (
        Model(lambda m, x: m.head(m.rnn(x)[1][1]), **LSTM),
        r"Module head \(Linear\) reads the final cell state of module rnn; supported are its "
        r"output and its final hidden state",
    ),
    "states of an LSTM": (
        Model(lambda m, x: m.head(m.rnn(x)[1]), **LSTM),
        r"Module head \(Linear\) reads the states \(h_n, c_n\) of an LSTM; supported is the last "
        r"h_n, \[0\]\[-1\]",
    ),
    "hidden state out of range": (
        Model(lambda m, x: m.head(m.rnn(x)[1][-1, 0])),
        r"Selection \[-1, 0\] takes a part of the batch axis of a tensor with axes \(batch, "
        r"features\); supported is the last timestep alone",
    ),
    "hidden states of all layers": (
        Model(lambda m, x: m.rnn(x)[1]),
        r"Output of Model reads the final hidden states of all layers; supported is one layer's, "
        r"\[-1\]",
    ),
    "squeeze": (
        Model(lambda m, x: m.head(m.rnn(x)[1].squeeze(0))),
        r"Method squeeze keeps the 2 final hidden states of a module; supported is one of them, "
        r"\[-1\]",
    ),
    "squeeze of everything": (
        Model(lambda m, x: m.head(m.rnn(x)[1].squeeze()), num_layers=1),
        r"Method squeeze drops all axes that happen to be one long; supported is axes by number",
    ),
    "carried state": (
        Model(stored_state),
        r"Forward of Model changes its own attribute state; supported is a forward whose output "
        r"depends on its input alone",
    ),
    "last batch element": (
        Model(lambda m, x: m.head(m.rnn(x)[0][-1])),
        r"Selection \[-1\] takes a part of the batch axis of a tensor with axes \(batch, time, "
        rf"features\); {LAST_STEP}",
    ),
    "first timestep": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, 0])),
        r"Selection \[:, 0\] takes other timesteps than the last; supported is \[:, -1\]",
    ),
    "some timesteps": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, -3:])),
        r"Selection \[:, -3:\] takes other timesteps than the last; supported is \[:, -1\]",
    ),
    "every other timestep": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, ::2])),
        r"Selection \[:, ::2\] takes other timesteps than the last; supported is \[:, -1\]",
    ),
    "last timestep where time is first": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, -1]), batch_first=False),
        r"Selection \[:, -1\] takes a part of the batch axis of a tensor with axes \(time, batch, "
        r"features\); supported is the last timestep alone; the last timestep is \[-1\]",
    ),
    "computed timestep": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, x.size(1)])),
        r"Selection \[:, time\] of a tensor with 3 axes is not supported; supported are whole "
        r"axes and the last timestep",
    ),
    "features": (
        Model(lambda m, x: m.head(m.rnn(x)[0])[..., 0]),
        r"Selection \[\.\.\., 0\] takes a part of the features axis of a tensor with axes "
        rf"\(batch, time, features\); {LAST_STEP}",
    ),
    "features of the last timestep": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, -1])[:, 0]),
        r"Selection \[:, 0\] takes a part of the features axis of a tensor with axes \(batch, "
        r"features\); supported is the last timestep alone",
    ),
    "new axis": (
        Model(lambda m, x: m.head(m.rnn(x)[0][:, None])),
        r"Output of Model has axes \(batch, one, time, features\) where its input has \(batch, "
        r"time, features\); supported is the same order of batch and time",
    ),
    "swapped output": (
        Model(lambda m, x: m.head(m.rnn(x)[0]).transpose(0, 1)),
        r"Output of Model has axes \(time, batch, features\) where its input has \(batch, time, "
        r"features\); supported is the same order of batch and time",
    ),
    "swapped input": (
        Model(lambda m, x: m.head(m.rnn(x)[0].transpose(1, 2))),
        r"Module head \(Linear\) reads the time axis of a tensor with axes \(batch, features, "
        r"time\); supported are the features, as the last axis",
    ),
    "bad permutation": (
        Model(lambda m, x: m.head(m.rnn(x)[0].permute(0, 0, 2))),
        r"Method permute permutes 3 axes of a tensor with axes \(batch, time, features\)",
    ),
    "mixed orders": (
        Model(
            lambda m, x: m.other(m.rnn(x)[0])[0],
        ),
        r"Module other \(GRU\) has batch_first=False and reads \(time, batch, features\), but its "
        r"input has axes \(batch, time, features\)",
    ),
    "recurrence after the last timestep": (
        Model(lambda m, x: m.other(m.rnn(x)[0][:, -1])[0]),
        r"Module other \(GRU\) has batch_first=False and reads \(time, batch, features\), but its "
        r"input has axes \(batch, features\)",
    ),
    "activation of the input": (
        nn.Sequential(nn.Tanh(), nn.Linear(3, 3)),
        r"Module 0 \(Tanh\) follows the input; supported is it after a layer",
    ),
    "shared tensor changed in place": (
        Model(inplace_shared),
        r"Function relu has inplace=True and changes a tensor that is used elsewhere too; "
        r"supported is inplace=False there",
    ),
    "assignment": (
        Model(batch_assigned),
        rf"Forward of Model cannot be traced \('Proxy' object does not support item assignment\); "
        rf"{SUPPORTED}",
    ),
    "dropout at inference": (
        Model(lambda m, x: m.head(functional.dropout(m.rnn(x)[0]))),
        r"Function dropout is called with training=True and drops at inference too; supported is "
        r"training=self\.training",
    ),
    "control flow": (
        Model(branch),
        r"Forward of Model cannot be traced \(symbolically traced variables cannot be used as "
        rf"inputs to control flow\); {SUPPORTED}",
    ),
    "constant": (
        Model(lambda m, x: m.bias),
        r"Output of Model reads a tensor that is not computed from the input; supported are "
        r"layers",
    ),
    "lazy weights": (
        nn.LazyLinear(2),
        r"Module linear \(LazyLinear\) must be initialized; run it once on data",
    ),
    "no weights": (
        nn.Linear(2, 2, device="meta"),
        r"Parameter linear\.weight must hold values; it is on the meta device",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case):
    module, sentence = REFUSALS[case]
    before = {name: dict(vars(part)) for name, part in module.named_modules()}
    with pytest.raises(UnsupportedError, match=f"^{sentence}$"):
        from_torch(module)
    assert {name: dict(vars(part)) for name, part in module.named_modules()} == before


def test_refuses_complex_weights():
    module = nn.Linear(2, 2)
    module.weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))
    with pytest.raises(
        UnsupportedError,
        match=r"^Parameter linear\.weight has type torch\.complex64; supported are "
        r"torch\.float16, torch\.bfloat16, torch\.float32, torch\.float64$",
    ):
        from_torch(module)


class TwoInputs(Model):
    def forward(self, x, lengths):
        return self.head(self.rnn(x)[0])


def test_refuses_several_inputs():
    with pytest.raises(
        UnsupportedError,
        match=r"^Forward of TwoInputs takes \(x, lengths\); supported is one tensor, a memory that "
        r"it attends to, and up to two initial states$",
    ):
        from_torch(TwoInputs(None))


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_refuses_hooks(hook):
    module = Model(unpacked)
    getattr(module.rnn, hook)(lambda *_: None)
    with pytest.raises(
        UnsupportedError,
        match=r"^Module rnn \(GRU\) has forward hooks or a replaced forward, which are not "
        r"followed; remove them$",
    ):
        from_torch(module)


def test_refuses_overridden_forward():
    class Doubled(nn.Linear):
        def forward(self, x):
            return torch.sin(super().forward(x))

    with pytest.raises(UnsupportedError, match=r"^Function sin is not supported; "):
        from_torch(Doubled(2, 2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_weights_that_are_not_finite(bad):
    module = Model(unpacked)
    with torch.no_grad():
        module.rnn.weight_hh_l1[5, 0] = bad
    with pytest.raises(
        DeltaloomError, match=r"^Parameter rnn\.1\.z\.h must be finite; it holds NaN or infinity$"
    ):
        from_torch(module)


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(
        DeltaloomError, match=r"^Layer 1 must take the 3 features that layer 0 gives, not 4$"
    ):
        from_torch(nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 2)))


def test_refuses_nothing_to_compute():
    with pytest.raises(
        UnsupportedError,
        match=r"^Output of Sequential must be computed; it is the input itself$",
    ):
        from_torch(nn.Sequential(nn.Identity()))


def test_rejects_what_is_no_module():
    with pytest.raises(TypeError, match=r"^Module must be a torch\.nn\.Module, not 'model\.pt'$"):
        from_torch("model.pt")
