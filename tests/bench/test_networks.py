import numpy as np
import pytest

import deltaloom as dl
from deltaloom.bench import networks
from deltaloom.bench.networks import Shape


@pytest.fixture(scope="module")
def model():
    shape = Shape("GRU", 3, 5, 6, layers=2)
    recipe = dl.Recipe(skip="delta")
    return networks.quantized(shape, networks.white_noise(20, 3), recipe)


def test_shape_in_words():
    assert str(Shape("LSTM", 64, 32, 16)) == "LSTM 64-32 on 16 lanes"
    assert str(Shape("GRU", 8, 16, 12, layers=2)) == "2 x GRU 8-16 on 12 lanes"


def test_networks_are_the_same_each_time(model):
    again = networks.quantized(
        Shape("GRU", 3, 5, 6, layers=2), networks.white_noise(20, 3), dl.Recipe(skip="delta")
    )
    for one, other in zip(model.network.computing, again.network.computing, strict=True):
        for name, weights in one.weights.items():
            np.testing.assert_array_equal(weights, other.weights[name])


def test_signals():
    noise = networks.white_noise(30, 4, batch=2)
    assert noise.shape == (2, 30, 4)
    assert np.all(np.abs(noise) <= 1)
    slow, fast = (networks.slow_signal(30, 4, speed) for speed in (0.01, 0.1))
    assert slow.shape == (1, 30, 4)
    assert np.all(np.abs(fast) <= 1)
    assert np.abs(np.diff(slow, axis=1)).max() < 0.01 < np.abs(np.diff(fast, axis=1)).max()


def test_densities_are_of_the_second_half(model):
    x = networks.white_noise(20, 3)
    x[:, 10:] = x[:, 9:10]
    found = networks.densities(model, x)
    assert list(found) == ["gru.0", "gru.1"]
    assert found["gru.0"]["x"] == 0
    assert 0 < found["gru.0"]["h"] < 1


def test_search_finds_where_a_growing_measure_is_met():
    assert networks.search(lambda point: point**2, 9, 0.1, 100) == pytest.approx(3, rel=1e-4)
    steps = networks.search(np.floor, 7, 0.1, 100)
    assert np.floor(steps) == 7


def test_steady_step():
    assert networks.steady_step(np.array([[100, 500, 600, 620, 640, 660]])) == 20
