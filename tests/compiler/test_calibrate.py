import numpy as np
import pytest

from deltaloom.compiler.calibrate import STREAM, Statistics, calibrate
from deltaloom.compiler.cells import GRU, LSTM, ReluRNN
from deltaloom.compiler.clipping import covering_format, least_squares_format
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.fixed import Format


class Tensor:
    """Walks like a torch tensor."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    cpu = double = detach

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


def error_of(values, format):
    return np.mean((values - format.dequantize(format.quantize(values))) ** 2)


@pytest.mark.parametrize(
    ("low", "high", "frac"),
    [
        (-1.0, 0.999, 7),
        (-1.0, 1.0, 6),
        (-0.25, 0.2, 9),
        (0.0, 0.5, 7),
        (-1.01, 0.0, 6),
        (0.0, 100.0, 0),
        (-300.0, 5.0, -2),
        (0.0, 0.0, 7),
        (0.0, 1e-30, 64),
    ],
)
def test_covering_format(low, high, frac):
    assert covering_format(low, high, 8, "Values") == Format(8, frac)


def test_covering_format_refuses_what_is_too_large():
    with pytest.raises(DeltaloomError) as error:
        covering_format(-1.0, 1e30, 8, "Weights a.b")
    assert str(error.value) == "Weights a.b must be below 2**71, not 1e+30"


@pytest.mark.parametrize("width", range(2, 17))
def test_least_squares_is_no_worse_than_any_power_of_two(width):
    values = np.random.default_rng(width).laplace(size=3000)
    chosen = least_squares_format(values, None, width, "Values")
    for frac in range(chosen.frac - 3, chosen.frac + 4):
        assert error_of(values, chosen) <= error_of(values, Format(width, frac))


def test_least_squares_clips_an_outlier_that_min_max_covers():
    values = np.append(np.linspace(-1, 1, 9001), 30.0)
    assert covering_format(-1, 30, 4, "Values") == Format(4, -2)
    assert least_squares_format(values, None, 4, "Values").frac > -2


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_a_histogram_chooses_like_its_values(width):
    values = np.random.default_rng(width).normal(size=(50, 300))
    found = Statistics.of("a.b", values).format(width, "mse")
    best = least_squares_format(values.reshape(-1), None, width, "Values")
    assert error_of(values, found) <= error_of(values, best) * 1.01


def test_whole_values_are_kept_exactly():
    """A one-hot input needs no clipping: 1 is a code, not the code below."""
    values = np.random.default_rng(0).integers(0, 2, size=1000).astype(float)
    for clip in ("minmax", "mse"):
        format = Statistics.of("a.b", values).format(8, clip)
        np.testing.assert_array_equal(format.dequantize(format.quantize(values)), values)


def test_statistics_hold_extremes_and_counts():
    values = np.array([[-3.0, 0.0, 0.0], [0.5, 4.0, 0.0]])
    found = Statistics.of("a.b", values)
    assert (found.low, found.high) == (-3.0, 4.0)
    np.testing.assert_array_equal(found.values, [-3.0, 0.0, 0.5, 4.0])
    np.testing.assert_array_equal(found.counts, [1, 3, 1, 1])


@pytest.mark.parametrize("scale", [0.0, 1e-310, 1e-20, 1e300])
def test_statistics_of_any_scale(scale):
    found = Statistics.of("a.b", np.array([-1.0, 0.5, 1.0]) * scale)
    assert found.counts.sum() == 3
    assert (found.low, found.high) == (-scale, scale)


def test_observes_every_node(make_network):
    network = make_network(LSTM(3, 5), GRU(5, 2))
    x = np.random.default_rng(1).normal(size=(4, 7, 3))
    ranges = calibrate(network, x)
    wanted = {(layer.name, node.name) for layer in network.layers for node in layer.graph.nodes}
    streams = {(name, STREAM) for name in ("input", *(layer.name for layer in network.layers))}
    assert set(ranges) == wanted | streams
    assert (ranges["rnn.0", "x"].low, ranges["rnn.0", "x"].high) == (x.min(), x.max())
    output = evaluate(network, x)
    last = network.layers[-1].graph.nodes[network.layers[-1].graph.output].name
    assert ranges["rnn.1", last].high == output.max()
    assert ranges["rnn.1", last].counts.sum() == output.size


def test_takes_lists_and_tensors(make_network):
    network = make_network(GRU(3, 2))
    x = np.random.default_rng(1).normal(size=(4, 7, 3))
    for data in (list(x), Tensor(x), [Tensor(sequence) for sequence in x]):
        ranges = calibrate(network, data)
        assert ranges["rnn.0", "h"].high == calibrate(network, x)["rnn.0", "h"].high


def test_takes_sequences_of_different_lengths(make_network):
    network = make_network(GRU(3, 2))
    rng = np.random.default_rng(1)
    ranges = calibrate(network, [rng.normal(size=(length, 3)) for length in (1, 5, 2)])
    assert ranges["rnn.0", "x"].counts.sum() == 8 * 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((4, 7)), "Input must have shape (batch, time, 3), but it has (4, 7)"),
        (np.zeros((4, 7, 2)), "Input must have shape (batch, time, 3), but it has (4, 7, 2)"),
        (np.zeros((0, 7, 3)), "Input must not be empty, but it has shape (0, 7, 3)"),
        (np.zeros((4, 0, 3)), "Input must not be empty, but it has shape (4, 0, 3)"),
        ([], "Input must have at least one sequence"),
        (
            [np.zeros((2, 3)), np.zeros((0, 3))],
            "Input must not be empty, but sequence 1 has shape (0, 3)",
        ),
        (
            [np.zeros((2, 3)), np.zeros((2, 4))],
            "Input must have shape (time, 3), but sequence 1 has (2, 4)",
        ),
        (np.full((1, 1, 3), np.nan), "Input must be finite, but it holds NaN or infinity"),
        (np.full((1, 1, 3), np.inf), "Input must be finite, but it holds NaN or infinity"),
        (
            np.full((1, 1, 3), "a"),
            "Input must be real numbers, but it holds <U1",
        ),
    ],
)
def test_refuses(make_network, data, reason):
    with pytest.raises(DeltaloomError) as error:
        calibrate(make_network(GRU(3, 2)), data)
    assert str(error.value) == f"Calibration data are unusable: {reason}"


def test_refuses_a_network_that_diverges(make_network):
    network = make_network(ReluRNN(2, 3), scale=1e30)
    with pytest.raises(DeltaloomError) as error:
        calibrate(network, np.ones((1, 50, 2)))
    assert "must stay finite on the calibration data" in str(error.value)
