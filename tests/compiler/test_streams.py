"""Stream layers in float, against torch and by hand, on sequences of different lengths."""

import numpy as np
import pytest
import torch

from deltaloom.compiler.calibrate import STREAM, calibrate
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.network import (
    ArgMax,
    Concatenate,
    Embedding,
    LastStep,
    Layer,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
    parameter_shapes,
)


def identity(name, size, *sources):
    parameters = {"y.x": np.eye(size), "y": np.zeros(size)}
    return Layer(name, "Linear", trace(Linear(size, size)), parameters, sources)


def sequences(size, lengths=(5, 1, 8, 5, 3), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, size)) for length in lengths]


def run(size, *layers, lengths=(5, 1, 8, 5, 3)):
    x = sequences(size, lengths)
    network = Network((identity("entry", size), *layers))
    network.check()
    return x, evaluate(network, x)


def assert_sequences(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_reverse():
    x, y = run(2, Reverse("back", 8))
    assert_sequences(y, [sequence[::-1] for sequence in x])


def test_concatenate_and_sum_read_streams_by_name():
    x, y = run(2, Reverse("back", 8), Concatenate("both", sources=("back", "input", "entry")))
    assert_sequences(y, [np.hstack([s[::-1], s, s]) for s in x])
    x, y = run(2, Reverse("back", 8), Sum("sum", sources=("back", "entry")))
    assert_sequences(y, [s[::-1] + s for s in x])


@pytest.mark.parametrize("function", ["mean", "max"])
def test_pool(function):
    x, y = run(3, Pool("pool", function))
    np.testing.assert_allclose(y, [getattr(s, function)(axis=0) for s in x], rtol=1e-15)


def test_last_steps_of_both_directions():
    x, y = run(
        2, LastStep("a"), LastStep("b", sources=("input",)), Concatenate("ab", sources=("a", "b"))
    )
    np.testing.assert_array_equal(y, [np.hstack([s[-1], s[-1]]) for s in x])


def test_argmax_takes_the_first_of_equals():
    network = Network((identity("entry", 3), ArgMax("index")))
    x = np.array([[[1.0, 3.0, 3.0], [2.0, 2.0, 1.0], [-1.0, -2.0, 0.0]]])
    np.testing.assert_array_equal(evaluate(network, x), [[[1.0], [0.0], [2.0]]])


def test_embedding():
    table = np.random.default_rng(0).normal(size=(7, 3))
    network = Network((Embedding("words", table), identity("exit", 3)))
    network.check()
    assert network.input_size == 1
    words = [np.array([[3], [0]]), np.array([[6]])]
    assert_sequences(evaluate(network, words), [table[[3, 0]], table[[6]]])
    for wrong in (-1, 7, 2.5):
        with pytest.raises(
            DeltaloomError,
            match=rf"^Layer words must get whole numbers from 0 to 6, not {wrong}$",
        ):
            evaluate(network, [np.array([[wrong]])])


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [(3, 1, 1, (1, 1)), (2, 2, 3, (3, 0)), (1, 3, 1, (0, 0)), (4, 3, 2, (2, 5))],
)
def test_window_and_linear_are_a_convolution(kernel, stride, dilation, padding):
    convolution = torch.nn.Conv1d(2, 4, kernel, stride, dilation=dilation).double()
    weight = convolution.weight.detach().numpy()  # (outputs, inputs, kernel)
    parameters = {
        "y.x": weight.transpose(0, 2, 1).reshape(4, -1),
        "y": convolution.bias.detach().numpy(),
    }
    network = Network(
        (
            Window("window", kernel, stride, dilation, padding),
            Layer("conv", "Linear", trace(Linear(2 * kernel, 4)), parameters),
        )
    )
    network.check()
    assert network.input_size == 2
    x = sequences(2, (9, 4, 7))
    found = evaluate(network, x)
    for sequence, values in zip(x, found, strict=True):
        padded = np.pad(sequence, (padding, (0, 0)))
        expected = convolution(torch.tensor(padded.T)[None])[0].detach().numpy().T
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_bidirectional_layer_is_torchs():
    module = torch.nn.GRU(3, 4, bidirectional=True, batch_first=True).double()

    def layer(name, suffix, *sources):
        graph = trace(GRU(3, 4))
        p = {k.removesuffix(suffix): v.detach().numpy() for k, v in module.named_parameters()}
        parameters = {}
        for k, (gate, at) in enumerate({"r": 0, "z": 1, "n": 2}.items()):
            w, u, b, c = (
                p[key][4 * at : 4 * at + 4]
                for key in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            )
            if k < 2:
                parameters |= {f"{gate}.x": w, f"{gate}.h": u, gate: b + c}
            else:
                parameters |= {"n_x.x": w, "n_x": b, "n_h.h": u, "n_h": c}
        return Layer(name, "GRU", graph, parameters, sources)

    network = Network(
        (
            layer("forward", ""),
            Reverse("mirrored", 8, sources=("input",)),
            layer("backward", "_reverse"),
            Reverse("restored", 8),
            Concatenate("both", sources=("forward", "restored")),
        )
    )
    network.check()
    assert set(parameter_shapes(network.computing[0].graph)) == set(network.layers[0].parameters)
    for sequence, values in zip(sequences(3), evaluate(network, sequences(3)), strict=True):
        expected = module(torch.tensor(sequence)[None])[0][0].detach().numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_calibration_sees_every_stream():
    network = Network(
        (identity("entry", 2), Reverse("back", 8), Sum("sum", sources=("back", "entry")))
    )
    x = sequences(2)
    ranges = calibrate(network, x)
    assert ranges["input", STREAM].high == max(s.max() for s in x)
    assert ranges["sum", STREAM].high == max((s + s[::-1]).max() for s in x)


A = identity("a", 2)
REFUSED = {
    "unknown source": ([A, Reverse("b", 3, sources=("c",))], "Layer b must read the input or"),
    "later source": ([identity("a", 2, "b"), Reverse("b", 3)], "Layer a must read the input or"),
    "itself": ([identity("a", 2, "a")], "Layer a must read the input or layers before it, not 'a'"),
    "unread": ([A, identity("b", 2, "input")], "Stream a must be read by a layer"),
    "names": ([A, A], r"Layer names must differ, not be \['a', 'a'\]"),
    "input as a name": ([identity("input", 2)], "Layers must not be named 'input'"),
    "one source": ([A, Concatenate("c")], "Layer c must have at least two sources"),
    "two sources": (
        [A, identity("b", 2), Reverse("c", 3, sources=("a", "b"))],
        "Layer c must have one source, not 2",
    ),
    "sizes of a sum": (
        [
            A,
            Concatenate("c", sources=("a", "a")),
            Sum("s", sources=("a", "c")),
        ],
        "Layer s must have sources of equal size, not 2, 4",
    ),
    "timesteps": (
        [A, LastStep("l"), Concatenate("c", sources=("a", "l"))],
        "Layer c must have sources with the same timesteps, which a and l do not have",
    ),
    "no time left": (
        [A, LastStep("l"), Pool("p", "max")],
        "Layer p must take a stream of timesteps, not the one vector a sequence that l gives",
    ),
    "no cell": ([Pool("p", "max")], "Network must have at least one layer that computes"),
    "features": (
        [A, identity("b", 3)],
        "Layer b must take the 2 features that layer a gives, not 3",
    ),
    "features of a window": (
        [Window("w", 2), identity("b", 3)],
        "Layer b must take the features that w gives, 2 times the input's and 0, not 3",
    ),
    "embedding of two": (
        [A, Embedding("e", np.ones((2, 2)))],
        "Layer e must take one feature, an index, not 2",
    ),
    "table": ([Embedding("e", np.ones(2)), A], "Layer e must have a table of shape"),
    "table of NaN": ([Embedding("e", np.full((2, 2), np.nan)), A], "Table of layer e must be fin"),
    "steps": ([A, Reverse("r", 0)], "Layer r must have max_steps from 1 to 65536, not 0"),
    "function": ([A, Pool("p", "min")], "Layer p must have the function 'mean' or 'max', not 'min"),
    "stride": ([Window("w", 1, 0), A], "Layer w must have a stride from 1 to 65536, not 0"),
    "padding": ([Window("w", 1, padding=(0, 1)), A], "Layer w must have a padding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    layers, sentence = REFUSED[name]
    network = Network(tuple(layers))
    with pytest.raises(DeltaloomError, match=f"^{sentence}"):
        network.check()


def test_sequences_of_the_wrong_length_are_refused():
    with pytest.raises(
        DeltaloomError, match=r"^Layer b must get sequences of at most 7 timesteps, not 8$"
    ):
        run(2, Reverse("b", 7))
    with pytest.raises(
        DeltaloomError, match=r"^Layer w must get sequences of at least 2 timesteps, not 1$"
    ):
        run(2, Window("w", 3, padding=(1, 0)))
