from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.cells import (
    GRU,
    ConvLSTM,
    Linear,
    ProjectedLSTM,
    ResetBeforeGRU,
)
from deltaloom.compiler.network import (
    ArgMax,
    LastStep,
    Network,
    Sum,
)
from deltaloom.training.streams import check_differentiable

RECIPES = [
    dl.Recipe(),
    dl.Recipe(weights="int4", activations="int3", skip="delta", theta=2, clip="minmax"),
    dl.Recipe(weights="int2", elementwise=8, skip="zero", tables="adaptive", segments=12),
    dl.Recipe(weights="int4", rounding="stochastic", seed=1),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["wide", "delta", "narrow", "stochastic"])
def test_equals_the_quantized_model_in_every_bit(sequences, moved, recurrent, recipe):
    torch.manual_seed(0)
    module = recurrent(5, 7, num_layers=2, batch_first=True)
    x = sequences(3, 11, 5)
    prepared = moved(dl.prepare(module, recipe, x)).eval()
    quantized = dl.quantize(prepared)
    found, _ = prepared(torch.from_numpy(2 * x))
    np.testing.assert_array_equal(quantized(2 * x), found.detach())
    with torch.no_grad():
        np.testing.assert_array_equal(prepared(torch.from_numpy(2 * x))[0], found.detach())


@pytest.mark.parametrize("weights", ["binary", "ternary", "int3"])
def test_stochastic_weights_are_drawn_anew_in_training_alone(sequences, weights):
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(2, 9, 4))
    module = nn.GRU(4, 6, batch_first=True)
    prepared = dl.prepare(module, dl.Recipe(weights, rounding="stochastic"), x)

    def drawn(seed):
        torch.manual_seed(seed)
        return [prepared(x)[0].detach() for _ in range(2)]

    first, second = drawn(1)
    assert not torch.equal(first, second)
    np.testing.assert_array_equal(drawn(1), [first, second])
    prepared.eval()
    np.testing.assert_array_equal(prepared(x)[0].detach(), dl.quantize(prepared)(x))
    nearest = dl.quantize(module, x, dl.Recipe(weights))
    np.testing.assert_array_equal(dl.quantize(prepared)(x), nearest(x))


def test_draws_of_stochastic_weights_average_to_the_float_ones(sequences, random_layer):
    """A linear layer of one input, so that outputs are weights; its derivative is straight."""
    layer = random_layer("y", Linear(1, 50))
    recipe = dl.Recipe("binary", "int16", rounding="stochastic", clip="minmax")
    prepared = dl.prepare(Network((layer,)), recipe, np.full((1, 1, 1), 4.0))
    torch.manual_seed(0)
    latent = prepared.get_parameter("cells.y.y.x.value")
    bias = prepared.get_parameter("cells.y.y.bias.value")
    with torch.no_grad():
        bias.zero_()
    one = torch.ones(1, 400, 1)
    weights, draws = latent.detach()[:, 0], [prepared(one)[0, 0].detach() for _ in range(400)]
    level = draws[0].abs().max()
    np.testing.assert_allclose(torch.stack(draws).abs(), level.expand(400, 50), rtol=1e-3)
    deviation = torch.sqrt(level**2 - weights**2) / 20  # of the mean of 400 draws
    assert ((torch.stack(draws).mean(dim=0) - weights).abs() < 4 * deviation + 1e-3).all()
    prepared(one).sum().backward()
    np.testing.assert_allclose(latent.grad, 400.0, rtol=1e-3)


def test_starts_as_quantization_after_training_ends(sequences):
    torch.manual_seed(0)
    module = nn.GRU(4, 6, bias=False, batch_first=True)
    x = sequences(2, 9, 4)
    recipe = dl.Recipe(weights="int5")
    prepared = dl.prepare(module, recipe, x)
    wanted = dl.quantize(module, x, recipe)
    np.testing.assert_array_equal(dl.quantize(prepared)(x), wanted(x))
    assert prepared.recipe == recipe


def test_streams_that_fork_and_join(sequences, moved, forked):
    x = [sequences(length, 3, seed=length) for length in (5, 12, 1)]
    prepared = moved(dl.prepare(forked, dl.Recipe(activations="int5"), x))
    found = prepared([torch.from_numpy(part) for part in x])
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))
    found.square().sum().backward()
    assert all(parameter.grad.any() for parameter in prepared.parameters())
    with pytest.raises(dl.DeltaloomError, match="at most 12 timesteps, which is what layer turn"):
        prepared([torch.zeros(13, 3)])


@pytest.mark.parametrize("learn_ranges", [False, True])
def test_an_input_that_is_rounded_again(sequences, moved, random_layer, learn_ranges):
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


def test_convolutions(sequences, moved, random_layer):
    network = Network((random_layer("conv", ConvLSTM(1, 2, (3, 2), 3)), LastStep("last")))
    x = sequences(2, 4, 6)
    prepared = moved(dl.prepare(network, dl.Recipe(skip="delta", theta=1), x))
    found = prepared(torch.from_numpy(x))
    np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))


def test_training_lowers_the_loss(sequences, recurrent):
    """Two-bit weights learn to follow a sum, which they cannot do as they are rounded."""
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(32, 10, 2))
    target = 0.3 * x.cumsum(dim=1).mean(dim=2, keepdim=True)

    class Follower(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = recurrent(2, 8, batch_first=True)
            self.head = nn.Linear(3 if getattr(self.rnn, "proj_size", 0) else 8, 1)

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


def test_thresholds_rise_in_training(sequences, classifier):
    torch.manual_seed(0)
    x = torch.from_numpy(sequences(4, 20, 3))
    prepared = dl.prepare(classifier(), dl.Recipe(skip="delta"), x)
    changes = []
    for theta in (0, 10, {"rnn.0": {"x": 30, "h": 40}, "rnn.1": {"h": 60}}):
        prepared.set_thresholds(theta)
        found = prepared(x)
        np.testing.assert_array_equal(found.detach(), dl.quantize(prepared)(x))
        changes.append((prepared._last.outputs["rnn.0"].operands["h"].diff(dim=0) != 0).sum())
    assert changes[0] > changes[1] > changes[2] > 0
    found.sum().backward()


def test_refuses_thresholds(sequences):
    x = sequences(2, 5, 3)
    with pytest.raises(dl.DeltaloomError, match="theta must be 0 with skip 'none'; thresholds"):
        dl.prepare(nn.GRU(3, 4), None, x).set_thresholds(1)
    prepared = dl.prepare(nn.GRU(3, 4), dl.Recipe(skip="delta"), x)
    with pytest.raises(dl.DeltaloomError, match=r"theta must name layers .* gru\.0, not 'lstm\.0'"):
        prepared.set_thresholds({"lstm.0": {"h": 1}})
    assert prepared.recipe.theta == 0


def test_double_precision_stays(sequences):
    x = sequences(2, 5, 3)
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True).double(), None, x)
    output, _ = prepared(torch.from_numpy(x))
    assert output.dtype == torch.float64
    np.testing.assert_array_equal(output.detach(), dl.quantize(prepared)(x))


@pytest.mark.parametrize("given", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_precision_is_that_of_the_parameters(sequences, given):
    x = sequences(2, 5, 3)
    prepared = dl.prepare(nn.GRU(3, 4, batch_first=True), None, x).to(given)
    output, _ = prepared(torch.from_numpy(x))
    assert output.dtype == (torch.float64 if given == torch.float64 else torch.float32)
    np.testing.assert_array_equal(output.detach(), dl.quantize(prepared)(x))
    output.sum().backward()


def test_becomes_hardware(sequences, moved):
    torch.manual_seed(0)
    x = sequences(2, 5, 3)
    prepared = moved(dl.prepare(nn.GRU(3, 4, batch_first=True), dl.Recipe(skip="delta"), x))
    run = dl.generate(dl.quantize(prepared), lanes=5).simulate(x, simulator="pysim")
    np.testing.assert_array_equal(run.outputs, prepared(torch.from_numpy(x))[0].detach())


def test_refuses_operations_without_a_derivative(random_layer):
    layer = random_layer("y", Linear(3, 2, "tanh"))
    *nodes, last = layer.graph.nodes
    graph = replace(layer.graph, nodes=(*nodes, replace(last, function="inverse_root")))
    sentence = r"Layer y \(Linear\) has the operation tanh0 \(Activation\), which has no derivative"
    with pytest.raises(dl.UnsupportedError, match=sentence):
        check_differentiable(Network((replace(layer, graph=graph),)))


def test_refuses_what_has_no_derivative(sequences, random_layer):
    x = sequences(2, 5, 3)
    network = Network((random_layer("y", Linear(3, 2)), ArgMax("label")))
    with pytest.raises(dl.UnsupportedError, match="Layer label is an ArgMax, which has no deriv"):
        dl.prepare(network, None, x)
    with pytest.raises(TypeError, match=r"Recipe must be a deltaloom\.Recipe, not ndarray"):
        dl.prepare(nn.GRU(3, 4), x, dl.Recipe())


class Given(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3, batch_first=True)

    def forward(self, x, state):
        return self.rnn(x, state)[0]


def test_states_that_are_inputs_are_refused():
    with pytest.raises(dl.UnsupportedError, match="Forward of Given takes initial states"):
        dl.prepare(Given(), None, np.zeros((1, 2, 2)))
