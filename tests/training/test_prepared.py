import copy
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

import deltaloom as dl
from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    ConvLSTM,
    Linear,
    ProjectedLSTM,
    ResetBeforeGRU,
)
from deltaloom.compiler.network import (
    ArgMax,
    Concatenate,
    LastStep,
    Network,
    Pool,
    Reverse,
    Sum,
)


def projected_lstm(*arguments, **options):
    return nn.LSTM(*arguments, **options, proj_size=3)


RECURRENT = [
    *(nn.RNN, nn.LSTM, nn.GRU, projected_lstm),
    *(dl.nn.LiGRU, dl.nn.CoupledLSTM, dl.nn.PeepholeLSTM, dl.nn.ResetBeforeGRU, dl.nn.SRU),
]
RECIPES = [
    dl.Recipe(),
    dl.Recipe(weights="int4", activations="int3", skip="delta", theta=2, clip="minmax"),
    dl.Recipe(weights="int2", elementwise=8, skip="zero", tables="adaptive", segments=12),
    dl.Recipe(weights="int4", rounding="stochastic", seed=1),
]


class Classifier(nn.Module):
    def __init__(self, cell=nn.GRU):
        super().__init__()
        self.rnn = cell(3, 6, num_layers=2, batch_first=True, dropout=0.5)
        self.head = nn.Linear(6, 4)

    def forward(self, clips, flag=None):
        out, _ = self.rnn(clips)
        return torch.relu(self.head(out[:, -1]))


def sequences(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def moved(prepared, seed=0):
    """The module with other weights than those it was made with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return prepared


@pytest.mark.parametrize("recipe", RECIPES, ids=["wide", "delta", "narrow", "stochastic"])
@pytest.mark.parametrize("kind", RECURRENT)
def test_equals_the_quantized_model_in_every_bit(kind, recipe):
    torch.manual_seed(0)
    module = kind(5, 7, num_layers=2, batch_first=True)
    x = sequences(3, 11, 5)
    prepared = moved(dl.prepare(module, recipe, x))
    quantized = dl.quantize(prepared)
    found, _ = prepared(torch.from_numpy(2 * x))
    np.testing.assert_array_equal(quantized(2 * x), found.detach())
    with torch.no_grad():
        np.testing.assert_array_equal(prepared(torch.from_numpy(2 * x))[0], found.detach())


def test_starts_as_quantization_after_training_ends():
    torch.manual_seed(0)
    module = nn.GRU(4, 6, bias=False, batch_first=True)
    x = sequences(2, 9, 4)
    recipe = dl.Recipe(weights="int5")
    prepared = dl.prepare(module, recipe, x)
    wanted = dl.quantize(module, x, recipe)
    np.testing.assert_array_equal(dl.quantize(prepared)(x), wanted(x))
    assert prepared.recipe == recipe


def test_a_module_of_layers_is_called_as_it_was():
    torch.manual_seed(0)
    x = sequences(4, 9, 3)
    prepared = moved(dl.prepare(Classifier(), dl.Recipe(skip="delta"), x)).train()
    quantized = dl.quantize(prepared)
    found = prepared(clips=torch.from_numpy(x))
    np.testing.assert_array_equal(quantized(x), found.detach())
    np.testing.assert_array_equal(prepared(torch.from_numpy(x), None).detach(), found.detach())


def test_sequences_of_different_lengths():
    x = [sequences(length, 3, seed=length) for length in (5, 1, 8, 2)]
    prepared = dl.prepare(nn.LSTM(3, 5), None, x)
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter *= 0.9  # none saturates
    quantized = dl.quantize(prepared)
    output, (h, c) = prepared([torch.from_numpy(part) for part in x])
    assert h.shape == c.shape == (1, 4, 5)
    for place, (found, wanted) in enumerate(zip(output, quantized(x), strict=True)):
        np.testing.assert_array_equal(found.detach(), wanted)
        np.testing.assert_array_equal(h[0, place].detach(), wanted[-1])
        alone = prepared(torch.from_numpy(x[place]))
        np.testing.assert_array_equal(alone[0].detach(), wanted)
        np.testing.assert_array_equal(alone[1][1].detach(), c[:, place].detach())
    sum(part.sum() for part in output).backward()
    ragged = {name: p.grad.clone() for name, p in prepared.named_parameters()}
    prepared.zero_grad()
    for part in x:
        prepared(torch.from_numpy(part))[0].sum().backward()
    for name, parameter in prepared.named_parameters():
        torch.testing.assert_close(parameter.grad, ragged[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences(enforce_sorted):
    lengths = [7, 4, 1] if enforce_sorted else [4, 1, 7]
    x = [torch.from_numpy(sequences(length, 3, seed=length)) for length in lengths]
    prepared = moved(dl.prepare(nn.LSTM(3, 5), None, x))
    packed, (h, c) = prepared(pack_sequence(x, enforce_sorted=enforce_sorted))
    wanted, (wanted_h, wanted_c) = prepared(x)
    assert (packed.sorted_indices is None) is enforce_sorted
    for found, want in zip(unpack_sequence(packed), wanted, strict=True):
        np.testing.assert_array_equal(found.detach(), want.detach())
    np.testing.assert_array_equal(h.detach(), wanted_h.detach())
    np.testing.assert_array_equal(c.detach(), wanted_c.detach())


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", RECURRENT)
def test_returns_what_torch_returns(kind, batch_first):
    torch.manual_seed(0)
    module = nn.Sequential(kind(3, 4, num_layers=2, batch_first=batch_first)).eval()
    x = torch.from_numpy(sequences(2, 9, 3))
    calibration = x if batch_first else x.transpose(0, 1)
    recipe = dl.Recipe(weights="int12", activations="int12", clip="minmax")
    prepared = dl.prepare(module, recipe, calibration)
    output, state = prepared(x)
    wanted, wanted_state = module(x)
    torch.testing.assert_close(output, wanted, rtol=0, atol=0.02)
    torch.testing.assert_close(state, wanted_state, rtol=0, atol=0.02)


def graph_network(random_layer):
    """Two directions, a residual connection, and the largest value over time."""
    return Network(
        (
            random_layer("forward", GRU(3, 4), sources=("input",)),
            Reverse("turn", 12, sources=("input",)),
            random_layer("backward", LSTM(3, 4), seed=1, sources=("turn",)),
            Reverse("return", 12, sources=("backward",)),
            Concatenate("both", sources=("forward", "return")),
            random_layer("mix", Linear(8, 8, "tanh"), seed=2, sources=("both",)),
            Sum("sum", sources=("mix", "both")),
            Pool("largest", "max"),
            random_layer("head", Linear(8, 2), seed=3),
        )
    )


def test_streams_that_fork_and_join(random_layer):
    x = [sequences(length, 3, seed=length) for length in (5, 12, 1)]
    prepared = moved(dl.prepare(graph_network(random_layer), dl.Recipe(activations="int5"), x))
    found = prepared([torch.from_numpy(part) for part in x])
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))
    found.square().sum().backward()
    assert all(parameter.grad.any() for parameter in prepared.parameters())
    with pytest.raises(dl.DeltaloomError, match="at most 12 timesteps, which is what layer turn"):
        prepared([torch.zeros(13, 3)])


@pytest.mark.parametrize("learn_ranges", [False, True])
def test_an_input_that_is_rounded_again(random_layer, learn_ranges):
    """Two cells want the input in different widths."""
    network = Network(
        (
            random_layer("wide", GRU(3, 4), sources=("input",)),
            random_layer("narrow", ResetBeforeGRU(3, 4), seed=1, sources=("input",)),
            Sum("sum", sources=("wide", "narrow")),
            random_layer("head", ProjectedLSTM(4, 5, 2), seed=2),
        )
    )
    recipe = dl.Recipe(
        paths={"narrow.x": {"activations": "int3"}}, skip="delta", theta={"narrow": {"x": 2}}
    )
    x = sequences(2, 7, 3)
    prepared = moved(dl.prepare(network, recipe, x, learn_ranges=learn_ranges))
    found = prepared(torch.from_numpy(2 * x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(2 * x))
    found.square().sum().backward()
    assert all(parameter.grad.any() for parameter in prepared.parameters())


def test_convolutions(random_layer):
    network = Network((random_layer("conv", ConvLSTM(1, 2, (3, 2), 3)), LastStep("last")))
    x = sequences(2, 4, 6)
    prepared = moved(dl.prepare(network, dl.Recipe(skip="delta", theta=1), x))
    found = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))


@pytest.mark.parametrize("kind", RECURRENT)
def test_training_lowers_the_loss(kind):
    """Two-bit weights learn to follow a sum, which they cannot do as they are rounded."""
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(32, 10, 2))
    target = 0.3 * x.cumsum(dim=1).mean(dim=2, keepdim=True)

    class Follower(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = kind(2, 8, batch_first=True)
            self.head = nn.Linear(3 if kind is projected_lstm else 8, 1)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    recipe = dl.Recipe(weights="int2", activations="int4")
    prepared = dl.prepare(Follower(), recipe, x)
    optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
    losses = []
    for turn in range(60):
        if turn % 10 == 0:
            prepared.calibrate(x)
        optimizer.zero_grad()
        loss = (prepared(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


@pytest.mark.parametrize("kind", RECURRENT)
def test_learned_ranges_stay_exact(kind, tmp_path):
    torch.manual_seed(0)
    x = sequences(3, 9, 3)
    recipe = dl.Recipe(weights="int4", activations="int4", skip="delta", theta=2)
    prepared = dl.prepare(kind(3, 5, num_layers=2, batch_first=True), recipe, x, learn_ranges=True)
    before = {str(layer.input_format) for layer in prepared.network().computing}
    with torch.no_grad():
        steps = prepared.ranges.log2_steps
        steps += torch.linspace(0.6, -0.9, len(steps))
    quantized = dl.quantize(prepared)
    output, _ = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(output.detach(), quantized(x))
    output.square().sum().backward()
    assert steps.grad.count_nonzero() == len(steps)
    assert before != {str(layer.input_format) for layer in quantized.network.computing}
    safetensors.torch.save_file(prepared.state_dict(), tmp_path / "checkpoint.safetensors")
    other = dl.prepare(kind(3, 5, 2, batch_first=True), recipe, x, learn_ranges=True)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "checkpoint.safetensors"))
    np.testing.assert_array_equal(dl.quantize(other)(x), quantized(x))


def test_learned_ranges_recover_from_bad_calibration():
    """A layer calibrated on signals sixteen times too large finds the ranges it needs."""
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(16, 12, 3))
    module = nn.GRU(3, 6, batch_first=True)
    target = module(x)[0].detach()
    losses = {}
    for learn in (False, True):
        recipe = dl.Recipe(activations="int4", clip="minmax")
        prepared = dl.prepare(module, recipe, 16 * x, learn_ranges=learn)
        groups = [{"params": prepared.cells.parameters(), "lr": 1e-3}]
        if learn:
            groups.append({"params": prepared.ranges.parameters(), "lr": 0.1})
        optimizer = torch.optim.Adam(groups)
        for _ in range(50):
            optimizer.zero_grad()
            loss = (prepared(x)[0] - target).square().mean()
            loss.backward()
            optimizer.step()
        losses[learn] = loss.item()
    assert losses[True] < 0.3 * losses[False]


@pytest.mark.parametrize("learn_ranges", [False, True])
def test_ranges_are_calibrated_anew(learn_ranges):
    x = sequences(3, 9, 3)
    recipe = dl.Recipe(activations="int5")
    torch.manual_seed(0)
    module = nn.RNN(3, 4, nonlinearity="relu", batch_first=True)
    prepared = dl.prepare(module, recipe, x, learn_ranges=learn_ranges)
    with torch.no_grad():
        for parameter in prepared.cells.parameters():
            parameter *= 3
        for parameter in module.parameters():
            parameter *= 3
    prepared.calibrate(2 * x)
    wanted = dl.quantize(module, 2 * x, recipe)
    np.testing.assert_array_equal(dl.quantize(prepared)(3 * x), wanted(3 * x))
    output, _ = prepared(torch.from_numpy(3 * x))
    np.testing.assert_array_equal(output.detach(), wanted(3 * x))


def test_learned_ranges_of_streams_that_fork_and_join(random_layer):
    x = sequences(2, 9, 3)
    network = graph_network(random_layer)
    prepared = dl.prepare(network, dl.Recipe(activations="int5"), x, learn_ranges=True)
    with torch.no_grad():
        prepared.ranges.log2_steps -= 1
    found = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))
    found.sum().backward()


def test_a_penalty_on_deltas_slows_signals_down():
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(8, 20, 3))
    prepared = dl.prepare(nn.GRU(3, 8, batch_first=True), dl.Recipe(skip="delta"), x)
    optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
    activities = []
    for _ in range(15):
        optimizer.zero_grad()
        prepared(x)
        activity = prepared.delta_activity()
        activity.backward()
        optimizer.step()
        activities.append(activity.item())
    assert activities[-1] < 0.8 * activities[0]


def test_delta_activity_by_hand(random_layer):
    """One feature that rises by one unit a timestep, into a linear layer of two rows."""
    network = Network((random_layer("y", Linear(1, 2)),))
    x = torch.arange(-4, 4)[None, :, None] / 4
    prepared = dl.prepare(network, dl.Recipe(activations="int3", skip="delta", clip="minmax"), x)
    prepared(x)
    assert prepared.delta_activity().item() == pytest.approx((4 + 7) / 8 / 8)


def test_delta_activity_of_sequences_of_different_lengths():
    """That of each, weighted with its timesteps."""
    x = [torch.from_numpy(sequences(length, 3, seed=length)) for length in (6, 1, 3)]
    prepared = dl.prepare(nn.GRU(3, 4, 2), dl.Recipe(skip="delta"), x)
    prepared(x)
    together = prepared.delta_activity().item()
    total = 0.0
    for part in x:
        prepared([part])
        total += len(part) * prepared.delta_activity().item()
    assert together == pytest.approx(total / 10)


def test_delta_activity_has_to_be_asked_for(random_layer):
    network = Network((random_layer("y", Linear(2, 2)),))
    x = sequences(2, 3, 2)
    with pytest.raises(dl.DeltaloomError, match="skip must be 'delta' for a delta activity, not"):
        dl.prepare(network, None, x).delta_activity()
    prepared = dl.prepare(network, dl.Recipe(skip="delta"), x)
    with torch.no_grad():
        prepared(torch.from_numpy(x))
    with pytest.raises(dl.DeltaloomError, match="must follow a forward pass with gradients"):
        prepared.delta_activity()


def test_checkpoints_hold_tensors_and_all_that_is_needed(tmp_path):
    torch.manual_seed(0)
    recipe = dl.Recipe(weights="int4", skip="delta", theta={"rnn.0": {"h": 2}})
    x = sequences(4, 9, 3)
    prepared = moved(dl.prepare(Classifier(), recipe, x))
    prepared(torch.from_numpy(x))
    safetensors.torch.save_file(prepared.state_dict(), tmp_path / "checkpoint.safetensors")

    other = dl.prepare(Classifier(), recipe, 3 * sequences(4, 9, 3, seed=1))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "checkpoint.safetensors"))
    for again in (other, copy.deepcopy(prepared)):
        np.testing.assert_array_equal(dl.quantize(again)(x), dl.quantize(prepared)(x))
        np.testing.assert_array_equal(again(torch.from_numpy(x)).detach(), dl.quantize(again)(x))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": "int5"}, "the recipe of the module that takes it; they differ in weights"),
        ({}, "for the layers of the module that takes it"),
        (None, "must hold the recipe and the formats of a prepared module"),
    ],
)
def test_refuses_other_checkpoints(change, sentence):
    x = sequences(4, 9, 3)
    state = dl.prepare(nn.GRU(3, 6, num_layers=2), None, x).state_dict()
    other = nn.GRU(3, 6, num_layers=2) if change else nn.GRU(3, 6)
    taker = dl.prepare(other, dl.Recipe(**change) if change else None, x)
    if change is None:
        text = json.loads(bytes(state["_extra_state"].tolist()))
        text["formats"][0][4] = 10_000
        state["_extra_state"] = torch.tensor(list(json.dumps(text).encode()), dtype=torch.uint8)
    with pytest.raises(dl.DeltaloomError, match=sentence):
        taker.load_state_dict(state, strict=False)


def test_double_precision_stays():
    x = sequences(2, 5, 3)
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True).double(), None, x)
    output, _ = prepared(torch.from_numpy(x))
    assert output.dtype == torch.float64
    np.testing.assert_array_equal(output.detach(), dl.quantize(prepared)(x))


@pytest.mark.parametrize("given", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_precision_is_that_of_the_parameters(given):
    x = sequences(2, 5, 3)
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True), None, x).to(given)
    output, _ = prepared(torch.from_numpy(x))
    assert output.dtype == (torch.float64 if given == torch.float64 else torch.float32)
    np.testing.assert_array_equal(output.detach(), dl.quantize(prepared)(x))
    output.sum().backward()


def test_becomes_hardware():
    torch.manual_seed(0)
    x = sequences(2, 5, 3)
    prepared = moved(dl.prepare(nn.GRU(3, 4, batch_first=True), dl.Recipe(skip="delta"), x))
    run = dl.generate(dl.quantize(prepared), lanes=5).simulate(x, simulator="pysim")
    np.testing.assert_array_equal(run.outputs, prepared(torch.from_numpy(x))[0].detach())


def refused(module, recipe=None, x=None):
    dl.prepare(module, recipe, sequences(2, 5, 3) if x is None else x)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda p: p(torch.zeros(2, 3)), dl.DeltaloomError, r"shape \(batch, time, 3\), not"),
        (lambda p: p(torch.zeros(2, 3, 4)), dl.DeltaloomError, r"not \(2, 3, 4\)"),
        (lambda p: p(torch.zeros(2, 0, 3)), dl.DeltaloomError, "must not be empty"),
        (lambda p: p([]), dl.DeltaloomError, "at least one sequence of at least one timestep"),
        (lambda p: p([torch.zeros(2, 2)]), dl.DeltaloomError, "sequence 0 has"),
        (lambda p: p(torch.full((1, 1, 3), torch.nan)), dl.DeltaloomError, "must be finite"),
        (lambda p: p(torch.zeros(1, 1, 3), True), dl.UnsupportedError, "more than its input"),
        (lambda p: p(torch.zeros(1, 1, 3, device="meta")), dl.UnsupportedError, "not on meta"),
        (lambda p: p.to("meta")(torch.zeros(1, 1, 3)), dl.UnsupportedError, "not on meta"),
        (
            lambda p: p(pack_sequence([torch.zeros(1, 3)])),
            dl.UnsupportedError,
            "Packed",
        ),
        (lambda p: p(), TypeError, "must be called with its input, clips"),
        (lambda p: dl.quantize(p, np.zeros((1, 1, 3))), dl.DeltaloomError, "it has its own"),
        (lambda p: refused(p), dl.DeltaloomError, "is prepared already"),
    ],
)
def test_refuses_wrong_calls(call, error, sentence):
    prepared = dl.prepare(Classifier(), None, sequences(2, 5, 3))
    with pytest.raises(error, match=sentence):
        call(prepared)


def test_refuses_states_and_weights_that_are_not_numbers():
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True), None, sequences(2, 5, 3))
    prepared(torch.zeros(1, 2, 3), torch.zeros(1, 1, 4))
    with pytest.raises(dl.UnsupportedError, match="supported is one input, and a start from zeros"):
        prepared(torch.zeros(1, 2, 3), hx=torch.ones(1, 1, 4))
    with torch.no_grad():
        next(prepared.parameters())[0, 0] = torch.nan
    with pytest.raises(dl.DeltaloomError, match=r"Parameter gru\.0\.r\.x must be finite"):
        prepared(torch.zeros(1, 2, 3))


def test_refuses_what_has_no_derivative(random_layer):
    network = Network((random_layer("y", Linear(3, 2)), ArgMax("label")))
    with pytest.raises(dl.UnsupportedError, match="Layer label is an ArgMax, which has no deriv"):
        refused(network)
    with pytest.raises(dl.UnsupportedError, match="bidirectional"):
        refused(nn.GRU(3, 4, bidirectional=True))
    with pytest.raises(TypeError, match=r"Recipe must be a deltaloom\.Recipe, not ndarray"):
        dl.prepare(nn.GRU(3, 4), sequences(2, 5, 3), dl.Recipe())
