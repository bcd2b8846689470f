"""Modules that make graphs of layers, against torch in float64 and in hardware."""

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch
from deltaloom.compiler.network import Concatenate, Embedding, Reverse, Window


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Model(nn.Module):
    """Modules by name, and a forward given as a function of them."""

    def __init__(self, body, **modules):
        super().__init__()
        self.body = body
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.body(self, x)


RECURRENT = {
    "rnn": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": nn.LSTM,
    "projected": lambda *sizes, **options: nn.LSTM(*sizes, proj_size=2, **options),
    "gru": nn.GRU,
    "coupled": dl.nn.CoupledLSTM,
    "layer norm": dl.nn.LayerNormLSTM,
    "ligru": dl.nn.LiGRU,
    "peephole": dl.nn.PeepholeLSTM,
    "reset before": dl.nn.ResetBeforeGRU,
    "sru": dl.nn.SRU,
}


def randomised(module):
    """The module with parameters and statistics that are not those it starts with."""
    with torch.no_grad():
        for values in (*module.parameters(), *module.buffers()):
            if values.is_floating_point():
                values.uniform_(0.1, 0.9) if values.dim() == 1 else values.uniform_(-0.6, 0.6)
    return module


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", RECURRENT)
def test_two_directions(check_torch, kind, batch_first, layers):
    module = randomised(RECURRENT[kind](3, 4, layers, batch_first=batch_first, bidirectional=True))
    network = check_torch(module)
    assert sum(isinstance(layer, Reverse) for layer in network.layers) == 2 * layers
    assert sum(isinstance(layer, Concatenate) for layer in network.layers) == layers
    names = [layer.name.partition(".")[2] for layer in network.computing]
    assert names == [f"{n}.{way}" for n in range(layers) for way in ("forward", "reverse")]


FINALS = {
    "backward": lambda h: h[-1],
    "forward": lambda h: h[-2],
    "both": lambda h: torch.cat((h[-2], h[-1]), dim=1),
    "both with whole axes": lambda h: torch.cat([h[-2, :, :], h[-1, :, :]], dim=-1),
    "both from the start": lambda h: torch.cat((h[0], h[1]), 1),
    "reshaped": lambda h: h[-2:].permute(1, 0, 2).reshape(-1, 8),
    "flattened": lambda h: h[-2:].transpose(0, 1).flatten(1),
    "added": lambda h: h[-2] + h[-1],
    "by layer": lambda h: h.view(-(-h.size(0) // 2), 2, h.size(1), 4)[-1][0],
    "of the last layer": lambda h: h.view(2, 2, -1, 4)[-1].transpose(0, 1).flatten(1),
}


@pytest.mark.parametrize("case", FINALS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "ligru"])
def test_final_states_of_both_directions(check_torch, kind, case):
    def body(m, x):
        state = m.rnn(x)[1]
        return FINALS[case](state[0] if kind == "lstm" else state)

    rnn = RECURRENT[kind](3, 4, 1 + (case != "reshaped"), batch_first=True, bidirectional=True)
    check_torch(Model(body, rnn=rnn))


def test_last_timestep_of_two_directions(check_torch):
    """The backward direction has only seen one timestep there, as in torch."""
    module = Model(lambda m, x: m.head(m.rnn(x)[0][:, -1]),
                   rnn=nn.GRU(3, 4, bidirectional=True, batch_first=True),
                   head=nn.Linear(8, 2))  # fmt: skip
    check_torch(module)


@pytest.mark.parametrize("steps", [1, 120])
def test_short_and_long(check_torch, steps):
    check_torch(nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True), time=steps)


def test_longer_sequences_are_refused():
    module = nn.GRU(3, 4, bidirectional=True, batch_first=True).double()
    network = from_torch(module, max_steps=6)
    evaluate(network, np.zeros((1, 6, 3)))
    with pytest.raises(DeltaloomError, match=r"at most 6 timesteps, not 7$"):
        evaluate(network, np.zeros((1, 7, 3)))
    with pytest.raises(
        UnsupportedError,
        match=r"^Module gru \(GRU\) walks sequences from their end and needs the timesteps of the "
        r"longest: max_steps must be given$",
    ):
        from_torch(module)


def test_room_for_the_longest_sequence_of_the_calibration():
    module = nn.GRU(2, 3, bidirectional=True, batch_first=True)
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(steps, 2)) for steps in (4, 9, 1)]
    for options, room in (({}, 9), ({"max_steps": 12}, 12)):
        model = dl.quantize(module, x, **options)
        found = {layer.max_steps for layer in model.network.layers if isinstance(layer, Reverse)}
        assert found == {room}
    with pytest.raises(DeltaloomError, match="^max_steps must be a positive integer, not 0$"):
        dl.quantize(module, x, max_steps=0)
    with pytest.raises(DeltaloomError, match="^max_steps must be left out for a Network"):
        dl.quantize(from_torch(module, 9), x, max_steps=9)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (3, {}),
        (1, {}),
        (1, {"stride": 2}),
        (4, {"stride": 3, "dilation": 2, "padding": 5}),
        (3, {"padding": "same"}),
        (4, {"padding": "same", "dilation": 3, "bias": False}),
        (5, {"padding": "valid", "stride": 2}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolutions(check_torch, kernel, options):
    network = check_torch(nn.Conv1d(3, 4, kernel, **options))
    windows = [layer for layer in network.layers if isinstance(layer, Window)]
    assert len(windows) == (kernel > 1 or "stride" in options)


def convolutional(m, x):
    y = torch.relu(m.norm(m.conv(x.permute(0, 2, 1)))).permute(0, 2, 1)
    return m.head(m.rnn(y)[0])


def test_convolution_before_a_recurrent_layer(check_torch):
    module = Model(
        convolutional,
        conv=nn.Conv1d(3, 5, 3, stride=2, padding=1),
        norm=nn.BatchNorm1d(5),
        rnn=nn.GRU(5, 4, batch_first=True, bidirectional=True),
        head=nn.Linear(8, 2),
    )
    network = check_torch(randomised(module))
    assert [layer.name for layer in network.computing] == [
        "conv", "rnn.0.forward", "rnn.0.reverse", "head",
    ]  # fmt: skip
    reverse = next(layer for layer in network.layers if isinstance(layer, Reverse))
    assert reverse.max_steps == 9  # of 17 timesteps, every other one


def test_convolutions_in_a_row(check_torch):
    module = nn.Sequential(
        nn.Conv1d(3, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(inplace=True),
        nn.Conv1d(4, 2, 3, padding=1, stride=2),
        nn.BatchNorm1d(2, affine=False),
        nn.Sigmoid(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(2, 3),
    )
    network = check_torch(randomised(module))
    assert [layer.name for layer in network.computing] == ["0", "3", "8"]


@pytest.mark.parametrize(
    "body",
    [
        lambda m, x: m.norm(m.linear(x)[:, -1]),
        lambda m, x: m.norm(m.linear(x).transpose(1, 2)).transpose(1, 2),
        lambda m, x: m.norm(m.rnn(x)[0][:, -1]),
        lambda m, x: m.norm(m.rnn(x)[0].mean(1)),
        lambda m, x: m.norm(m.linear(x)[:, -1] + m.rnn(x)[0][:, -1]),
        lambda m, x: m.norm(torch.cat([m.small(x), m.narrow(x)], -1)[:, -1]),
        lambda m, x: m.norm(torch.relu(m.linear(x)).amax(1)),
    ],
    ids=["linear", "transposed", "recurrent", "mean", "sum", "concatenation", "max"],
)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation(check_torch, body, affine):
    module = Model(
        body,
        linear=nn.Linear(3, 4),
        small=nn.Linear(3, 1),
        narrow=nn.Linear(3, 3),
        rnn=nn.GRU(3, 4, batch_first=True),
        norm=nn.BatchNorm1d(4, affine=affine),
    )
    check_torch(randomised(module))


def test_embeddings(check_torch):
    embedding = nn.Embedding(11, 3, padding_idx=4)
    assert not embedding.weight[4].any()
    module = nn.Sequential(embedding, nn.LSTM(3, 5, batch_first=True))
    network = check_torch(Model(lambda m, x: m.both(x)[0], both=module), entries=11)
    table = next(layer for layer in network.layers if isinstance(layer, Embedding)).table
    np.testing.assert_array_equal(table[4], 0)
    module = nn.Sequential(nn.Embedding(11, 3), nn.Tanh(), nn.GRU(3, 5))  # (time, batch)
    check_torch(Model(lambda m, x: m.both(x)[0], both=module), entries=11)
    check_torch(nn.Sequential(nn.Embedding(5, 3), nn.LayerNorm(3), nn.Linear(3, 2)), entries=5)


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d])
def test_global_pools(check_torch, pool):
    module = Model(
        lambda m, x: m.head(m.pool(m.rnn(x)[0].transpose(1, 2)).squeeze(-1)),
        rnn=nn.GRU(3, 4, batch_first=True),
        pool=pool(1),
        head=nn.Linear(4, 2),
    )
    check_torch(module)


def test_layer_normalisation_of_the_input(check_torch):
    check_torch(nn.Sequential(randomised(nn.LayerNorm(3)), nn.Linear(3, 2)))


def test_layer_normalisation_after_a_residual_sum(check_torch):
    def body(m, x):
        y = m.entry(x)
        return m.norm(y + m.rnn(y)[0])

    parts = {"entry": nn.Linear(3, 4), "rnn": nn.GRU(4, 4, batch_first=True)}
    check_torch(Model(body, **parts, norm=randomised(nn.LayerNorm(4))))


def test_what_follows_a_shared_recurrent_layer_is_carried_after_it(check_torch):
    def body(m, x):
        y = m.rnn(x)[0]
        return torch.cat([m.norm(y).tanh(), y], -1)

    module = Model(body, rnn=nn.LSTM(3, 4, batch_first=True), norm=nn.LayerNorm(4))
    network = check_torch(module)
    assert [layer.cell for layer in network.computing] == ["LSTM", "Linear"]


REFUSALS = {
    "groups": (
        nn.Conv1d(4, 4, 3, groups=2),
        r"Module conv1d \(Conv1d\) has groups=2; supported is groups=1",
    ),
    "padding mode": (
        nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"),
        r"Module conv1d \(Conv1d\) has padding_mode='circular'; supported is 'zeros'",
    ),
    "padding beyond the kernel": (
        nn.Conv1d(3, 4, 3, padding=3),
        r"Layer conv1d\.window must have a padding \(left, right\) of at most 2 timesteps each, "
        r"not \(3, 3\)",
    ),
    "axes of a convolution": (
        nn.Sequential(nn.Linear(3, 4), nn.Conv1d(4, 4, 3)),
        r"Module 1 \(Conv1d\) reads a tensor with axes \(batch, time, features\); supported is "
        r"\(batch, features, time\)",
    ),
    "batch statistics": (
        nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4, track_running_stats=False)),
        r"Module 1 \(BatchNorm1d\) has track_running_stats=False and depends on the whole batch; "
        r"supported is track_running_stats=True",
    ),
    "embedding of numbers": (
        nn.Sequential(nn.Linear(3, 1), nn.Embedding(3, 2)),
        r"Module 1 \(Embedding\) looks up numbers with axes \(batch, time, features\); supported "
        r"are indices without features",
    ),
    "renormalised embedding": (
        nn.Sequential(nn.Embedding(3, 2, max_norm=1.0), nn.Linear(2, 2)),
        r"Module 0 \(Embedding\) has max_norm=1\.0 and changes its own weights; supported is "
        r"max_norm=None",
    ),
    "pool of several": (
        nn.Sequential(nn.Conv1d(3, 4, 1), nn.AdaptiveAvgPool1d(2)),
        r"Module 1 \(AdaptiveAvgPool1d\) has output_size=2; supported is 1, one vector",
    ),
    "flattened timesteps": (
        nn.Sequential(nn.Conv1d(3, 4, 1), nn.Flatten(), nn.Linear(8, 2)),
        r"Module 1 \(Flatten\) gives a tensor with axes \(batch, features, time\) and lengths "
        r"\(batch, 4, time\) the shape \(batch, -1\); supported are axes of length one that come "
        r"and go, and directions joined to features",
    ),
    "softmax": (
        nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1)),
        r"Output of Sequential reads what Module 1 \(Softmax\) gives; supported is argmax of the "
        r"features, for which softmax changes nothing and can be left out",
    ),
    "all final states": (
        Model(lambda m, x: m.rnn(x)[1], rnn=nn.GRU(3, 4, bidirectional=True)),
        r"Output of Model reads the final hidden states of all layers; supported is one layer's, "
        r"\[-1\]",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case):
    module, sentence = REFUSALS[case]
    with pytest.raises(DeltaloomError, match=f"^{sentence}$"):
        from_torch(module, max_steps=9)


def bidirectional(m, x):
    h = m.rnn(x)[1]
    return m.head(torch.cat((h[-2], h[-1]), 1))


HARDWARE = {
    "final states": Model(
        bidirectional,
        rnn=nn.GRU(3, 4, 2, batch_first=True, bidirectional=True),
        head=nn.Linear(8, 3),
    ),
    "sequence": Model(
        lambda m, x: m.head(m.rnn(x)[0]),
        rnn=nn.LSTM(3, 3, batch_first=True, bidirectional=True),
        head=nn.Linear(6, 2),
    ),
    "residual": Model(
        lambda m, x: m.head((lambda y: y + torch.relu(m.rnn(y)[0]))(m.entry(x))),
        entry=nn.Linear(3, 4),
        rnn=nn.GRU(4, 4, batch_first=True),
        head=nn.Linear(4, 2),
    ),
    "concatenation": Model(
        lambda m, x: m.head(torch.cat([m.entry(x), m.rnn(x)[0]], -1)),
        entry=nn.Linear(3, 2),
        rnn=nn.GRU(3, 4, batch_first=True),
        head=nn.Linear(6, 2),
    ),
    "convolution": Model(
        convolutional,
        conv=nn.Conv1d(3, 5, 3, stride=2, padding=1),
        norm=nn.BatchNorm1d(5),
        rnn=nn.GRU(5, 4, batch_first=True, bidirectional=True),
        head=nn.Linear(8, 2),
    ),
    "mean over time": Model(
        lambda m, x: m.head(m.rnn(x)[0].mean(1)),
        rnn=nn.GRU(3, 4, batch_first=True),
        head=nn.Linear(4, 2),
    ),
    "max over time": Model(
        lambda m, x: m.head(m.rnn(x)[0].max(1)[0]),
        rnn=nn.LSTM(3, 4, batch_first=True),
        head=nn.Linear(4, 2),
    ),
}


@pytest.mark.parametrize("case", HARDWARE)
def test_in_hardware(case):
    """Bits and cycles equal the models' (or simulate raises), values are near torch's."""
    module = randomised(HARDWARE[case]).float().eval()
    x = np.random.default_rng(0).normal(size=(3, 11, 3))
    model = dl.quantize(module, x, dl.Recipe(skip="delta"))
    run = dl.generate(model, lanes=6).simulate(x, "pysim")
    with torch.no_grad():
        wanted = module(torch.tensor(x, dtype=torch.float32)).numpy()
    assert np.abs(run.outputs - wanted).max() < 0.05 * np.abs(wanted).max()


def test_embedding_in_hardware():
    module = Model(
        lambda m, x: m.head(m.rnn(m.words(x))[0]),
        words=nn.Embedding(7, 3, padding_idx=0),
        rnn=nn.GRU(3, 4, batch_first=True),
        head=nn.Linear(4, 2),
    )
    x = np.random.default_rng(0).integers(0, 7, (3, 11, 1))
    model = dl.quantize(module, x)
    run = dl.generate(model, lanes=6).simulate(x, "pysim")
    with torch.no_grad():
        wanted = module(torch.tensor(x[..., 0])).numpy()
    assert np.abs(run.outputs - wanted).max() < 0.05 * np.abs(wanted).max()
