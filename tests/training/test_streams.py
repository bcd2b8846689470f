"""Stream layers in training: what golden computes, with the derivatives of what float computes."""

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.network import (
    Concatenate,
    Embedding,
    Layer,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
)

TABLE = np.random.default_rng(3).normal(size=(7, 3))


def indices(*lengths):
    rng = np.random.default_rng(len(lengths))
    return [rng.integers(0, len(TABLE), (length, 1)).astype(np.float64) for length in lengths]


def check(network, x, moved, **options):
    """Forward equal in every bit, and every parameter gets a derivative."""
    prepared = moved(dl.prepare(network, dl.Recipe(**options), x, learn_ranges=True))
    found = prepared([torch.from_numpy(part) for part in x])
    quantized = dl.quantize(prepared)
    outputs = quantized(x)
    for ours, theirs in zip(found, outputs, strict=True):
        np.testing.assert_array_equal(ours.detach(), theirs)
    sum(part.square().sum() for part in found).backward()
    assert all(parameter.grad.any() for parameter in prepared.cells.parameters())
    return prepared


@pytest.mark.parametrize("weights", ["int8", "ternary"])
@pytest.mark.parametrize("skip", ["none", "delta"])
def test_embeddings(random_layer, moved, weights, skip):
    network = Network((Embedding("words", TABLE), random_layer("rnn", GRU(3, 4))))
    prepared = check(network, indices(9, 1, 5), moved, weights=weights, skip=skip)
    table = prepared.get_parameter("cells.words.table.value")
    assert table.shape == (7, 3)
    assert dl.quantize(prepared).network.layers[0].table.dtype == np.int64


def test_rows_of_a_table_are_trained_where_they_were_used(random_layer):
    """The derivative of each row is the sum over the timesteps that it was looked up in."""
    network = Network((Embedding("words", TABLE), random_layer("y", Linear(3, 2))))
    x = [np.array([[1.0], [4.0], [1.0]]), np.array([[1.0], [6.0]])]
    prepared = dl.prepare(network, dl.Recipe("int16", "int16"), x)
    loss = sum(part.sum() for part in prepared([torch.from_numpy(part) for part in x]))
    loss.backward()
    row = network.layers[1].parameters["y.x"].sum(axis=0)
    counts = np.array([0, 3, 0, 0, 1, 0, 1])
    found = prepared.get_parameter("cells.words.table.value").grad
    np.testing.assert_allclose(found, counts[:, None] * row, atol=1e-3)


def test_training_an_embedding_lowers_the_loss():
    """Table alone: the weights after it stay."""
    torch.manual_seed(0)

    rng = np.random.default_rng(0)
    parameters = {"y.x": np.eye(2), "y": np.zeros(2)}
    layer = Layer("y", "Linear", trace(Linear(2, 2)), parameters)
    network = Network((Embedding("words", 0.1 * rng.normal(size=(8, 2))), layer))
    x = torch.arange(8.0)[None, :, None]
    wanted = torch.from_numpy(rng.uniform(-0.1, 0.1, (1, 8, 2)))
    prepared = dl.prepare(network, dl.Recipe(), x)
    table = prepared.get_parameter("cells.words.table.value")
    optimizer = torch.optim.Adam([table], lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (prepared(x) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("index", [8, -1, 100, 2.5])
def test_refuses_indices_that_are_not_in_the_table(random_layer, index):
    """Also those that the format of indices cannot hold."""
    table = np.random.default_rng(0).normal(size=(8, 3))
    network = Network((Embedding("words", table), random_layer("y", Linear(3, 2))))
    prepared = dl.prepare(network, None, np.ones((1, 2, 1)))
    sentence = f"^Input must get whole numbers from 0 to 7, not {index}$"
    with pytest.raises(dl.DeltaloomError, match=sentence):
        prepared(torch.full((1, 2, 1), float(index)))


@pytest.mark.parametrize(
    ("window", "lengths"),
    [
        (Window("taps", 3, padding=(1, 1)), (9, 1, 4)),
        (Window("taps", 2, stride=3), (9, 2, 5)),
        (Window("taps", 3, stride=2, dilation=2, padding=(0, 3)), (2, 13, 6)),
    ],
)
def test_windows(random_layer, moved, window, lengths):
    network = Network((window, random_layer("rnn", GRU(2 * window.kernel, 3))))
    x = [np.random.default_rng(n).normal(size=(n, 2)) for n in lengths]
    check(network, x, moved, skip="delta", activations="int5")


def test_windows_have_the_derivatives_of_a_convolution(random_layer):
    layer = random_layer("y", Linear(6, 4))
    network = Network((random_layer("first", Linear(2, 2)), Window("taps", 3, 2, 1, (1, 0)), layer))
    x = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0))
    prepared = dl.prepare(network, dl.Recipe("int16", "int16"), x)
    prepared(x).square().sum().backward()
    first, last = (network.layers[i].parameters for i in (0, 2))
    weights = torch.tensor(first["y.x"]).float().requires_grad_()
    frames = (x @ weights.T + torch.tensor(first["y"]).float()).transpose(1, 2)
    kernel = torch.tensor(last["y.x"]).float().reshape(4, 3, 2).permute(0, 2, 1)
    bias = torch.tensor(last["y"]).float()
    padded = torch.nn.functional.pad(frames, (1, 0))
    torch.nn.functional.conv1d(padded, kernel, bias, stride=2).square().sum().backward()
    found = prepared.get_parameter("cells.first.y.x.value").grad
    np.testing.assert_allclose(found, weights.grad, rtol=2e-3, atol=2e-3)


def test_windows_refuse_short_sequences(random_layer):
    network = Network((Window("taps", 4), random_layer("y", Linear(4, 2))))
    prepared = dl.prepare(network, None, np.ones((1, 5, 1)))
    with pytest.raises(dl.DeltaloomError, match="taps must get sequences of at least 4 timesteps"):
        prepared(torch.zeros(1, 3, 1))


@pytest.mark.parametrize("function", ["mean", "max"])
@pytest.mark.parametrize("skip", ["none", "delta"])
def test_pools(random_layer, moved, function, skip):
    network = Network(
        (random_layer("rnn", GRU(2, 3)), Pool("pool", function), random_layer("y", Linear(3, 2)))
    )
    x = [np.random.default_rng(n).normal(size=(n, 2)) for n in (7, 1, 100, 12)]
    check(network, x, moved, skip=skip)


def test_means_have_the_derivative_of_a_mean(random_layer):
    network = Network((random_layer("y", Linear(2, 3)), Pool("pool", "mean")))
    x = [torch.from_numpy(np.random.default_rng(n).normal(size=(n, 2))) for n in (7, 3)]
    prepared = dl.prepare(network, dl.Recipe("int16", "int16"), x)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3)))
    (prepared(x) * weights).sum().backward()
    wanted = sum(row[:, None] * part.mean(dim=0) for row, part in zip(weights, x, strict=True))
    found = prepared.get_parameter("cells.y.y.x.value").grad
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_means_refuse_long_sequences(random_layer):
    network = Network((random_layer("y", Linear(2, 3)), Pool("pool", "mean", 5)))
    prepared = dl.prepare(network, None, np.ones((1, 5, 2)))
    with pytest.raises(dl.DeltaloomError, match="at most 5 timesteps, which is what layer pool"):
        prepared(torch.zeros(1, 6, 2))


def test_all_of_them_at_once(random_layer, moved):
    """Two directions over embedded indices, a residual sum, windows, and a mean."""
    network = Network(
        (
            Embedding("words", TABLE, sources=("input",)),
            Window("taps", 3, padding=(1, 1), sources=("words",)),
            random_layer("forward", GRU(9, 3), sources=("taps",)),
            Reverse("turn", 12, sources=("words",)),
            random_layer("backward", GRU(3, 3), seed=1, sources=("turn",)),
            Reverse("return", 12, sources=("backward",)),
            Sum("sum", sources=("forward", "words")),
            Concatenate("both", sources=("return", "sum")),
            Pool("mean", "mean", 12),
            random_layer("head", Linear(6, 2), seed=2),
        )
    )
    check(network, indices(5, 12, 1), moved, activations="int6")
