import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import ArgMax, Network
from deltaloom.search.losses import ErrorRate, SquaredError
from deltaloom.search.trials import FloatModel


@pytest.fixture
def model(float_network):
    return FloatModel(float_network(GRU(3, 4), Linear(4, 2)))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(3, 5, 3))


def ragged(x):
    return [part[:length] for part, length in zip(x, (5, 1, 4), strict=True)]


def test_error_rate(model, x):
    labels = model(x).argmax(axis=2)
    assert ErrorRate(x, labels)(model) == 0
    labels[0, :3] ^= 1
    assert ErrorRate(x, labels)(model) == pytest.approx(100 * 3 / 15)
    shorter = [row[: len(part)] for row, part in zip(labels, ragged(x), strict=True)]
    assert ErrorRate(ragged(x), shorter)(model) == pytest.approx(100 * 3 / 10)


def test_error_rate_of_an_index(model, x):
    named = FloatModel(Network((*model.network.layers, ArgMax("label"))))
    labels = model(x).argmax(axis=2)
    assert ErrorRate(x, labels)(named) == 0
    assert ErrorRate(x, labels ^ 1)(named) == 100


def test_squared_error(model, x):
    assert SquaredError(x, model(x))(model) == 0
    assert SquaredError(x, model(x) + 0.5)(model) == pytest.approx(0.25)
    found = model(ragged(x))
    assert SquaredError(ragged(x), [part - 2 for part in found])(model) == pytest.approx(4)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((3, 4), int), "Labels must be one integer for each of the 15 outputs, not 12"),
        (np.zeros((3, 5)), "Labels must be one integer for each of the 15 outputs, not 15 of type"),
        (np.full((3, 5), 2), "Labels must be integers from 0 to 1"),
        (np.full((3, 5), -1), "Labels must be integers from 0 to 1"),
    ],
)
def test_refuses_labels(model, x, labels, sentence):
    with pytest.raises(DeltaloomError) as error:
        ErrorRate(x, labels)(model)
    assert str(error.value).startswith(sentence)


def test_refuses_an_error_rate_of_one_output(float_network, x):
    with pytest.raises(DeltaloomError, match=r"^Error rate must be taken of at least two outputs"):
        ErrorRate(x, np.zeros((3, 5), int))(FloatModel(float_network(Linear(3, 1))))


def test_refuses_targets_of_other_shapes(model, x):
    with pytest.raises(DeltaloomError) as error:
        SquaredError(x, np.zeros((3, 4, 2)))(model)
    assert str(error.value) == (
        "Targets must have the shapes of the outputs of the 3 sequences, (5, 2), not of 3, (4, 2)"
    )
