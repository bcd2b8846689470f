"""Networks whose streams fork and join: golden model, cycle model and hardware are equal."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler.artifact import encode, load, save
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM, Linear
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
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.wiring import sources_of
from deltaloom.model import QuantizedModel
from deltaloom.sim import golden, pysim
from deltaloom.sim.stimulus import Stimulus

STEPS = 6
TABLE = np.random.default_rng(3).normal(size=(11, 3))


def cell(name, kind, *sources, seed=0):
    rng = np.random.default_rng(seed)
    graph = trace(kind)
    shapes = parameter_shapes(graph)
    parameters = {key: rng.normal(0, 0.5, shape) for key, shape in shapes.items()}
    return Layer(name, type(kind).__name__, graph, parameters, sources)


def both_ways(name, source, inputs, hidden):
    return (
        cell(f"{name}.f", GRU(inputs, hidden), source),
        Reverse(f"{name}.m", STEPS, sources=(source,)),
        cell(f"{name}.b", GRU(inputs, hidden), seed=1),
        Reverse(f"{name}.r", STEPS),
        Concatenate(name, sources=(f"{name}.f", f"{name}.r")),
    )


NETWORKS = {
    "bidirectional": (*both_ways("one", "input", 2, 3), cell("head", Linear(6, 2))),
    "two of them": (*both_ways("one", "input", 2, 3), *both_ways("two", "one", 6, 2)),
    "residual": (
        cell("entry", Linear(2, 3)),
        cell("lstm", LSTM(3, 3)),
        Sum("sum", sources=("entry", "lstm")),
        cell("head", Linear(3, 2)),
    ),
    "sum at the end": (cell("a", GRU(1, 1)), Sum("sum", sources=("a", "input", "a"))),
    "input beside": (cell("a", GRU(2, 3)), Concatenate("c", sources=("a", "input"))),
    "last states": (
        cell("f", GRU(2, 3)),
        LastStep("fl"),
        Reverse("m", STEPS, sources=("input",)),
        cell("b", GRU(2, 2)),
        LastStep("bl"),
        Concatenate("c", sources=("fl", "bl")),
        cell("head", Linear(5, 2)),
    ),
    "largest over time": (
        cell("a", GRU(2, 3)),
        Pool("pool", "max"),
        cell("head", Linear(3, 2)),
    ),
    "largest of both ways": (*both_ways("one", "input", 2, 1), Pool("pool", "max")),
    "which is largest": (cell("a", GRU(2, 5)), ArgMax("best")),
    "class of a sequence": (
        cell("a", LSTM(2, 4)),
        Pool("pool", "max"),
        cell("head", Linear(4, 3)),
        ArgMax("class"),
    ),
    "reversed at the end": (cell("a", GRU(1, 1)), Reverse("r", STEPS)),
    "mean over time": (cell("a", GRU(2, 3)), Pool("pool", "mean", STEPS), cell("b", Linear(3, 2))),
    "mean at the end": (cell("a", GRU(2, 3)), Pool("pool", "mean")),
    "convolution": (Window("w", 3, padding=(1, 1)), cell("a", Linear(6, 3)), cell("b", GRU(3, 2))),
    "strided convolution": (
        Window("w", 2, 2, 3, padding=(3, 2)),
        cell("a", Linear(4, 3)),
        Window("v", 3, 3, padding=(0, 2)),
        cell("b", GRU(9, 2)),
    ),
    "residual around a window": (
        Window("w", 4, padding=(0, 3)),
        cell("a", Linear(8, 2)),
        Sum("sum", sources=("a", "input")),
        cell("b", GRU(2, 2)),
    ),
    "windows that look ahead differently": (
        Window("past", 3, 2, padding=(2, 0)),
        Window("future", 3, 2, padding=(0, 2), sources=("input",)),
        cell("b", Linear(6, 2), "past"),
        Concatenate("c", sources=("future", "b", "future")),
    ),
    "windows of several sizes": (
        Window("w1", 1, sources=("input",)),
        cell("a1", Linear(2, 2)),
        Pool("p1", "max"),
        Window("w3", 3, padding=(1, 1), sources=("input",)),
        cell("a3", Linear(6, 2)),
        Pool("p3", "max"),
        Window("w5", 5, 2, padding=(3, 1), sources=("input",)),
        Pool("p5", "mean"),
        Concatenate("c", sources=("p1", "p3", "p5")),
        cell("head", Linear(14, 3)),
    ),
    "last input": (LastStep("last"), cell("a", Linear(2, 3))),
    "last of all": (
        cell("a", GRU(2, 3)),
        Concatenate("c", sources=("a", "input")),
        LastStep("last"),
        cell("b", Linear(5, 2)),
    ),
    "mean input": (Pool("pool", "mean", STEPS), cell("a", Linear(2, 3))),
    "sum of inputs": (
        Sum("sum", sources=("input", "input")),
        ArgMax("best", sources=("input",)),
        cell("b", Linear(1, 2)),
        cell("c", Linear(2, 2), "sum"),
        Concatenate("d", sources=("b", "c")),
    ),
    "largest input": (Pool("pool", "max"), cell("a", Linear(2, 3))),
    "words": (Embedding("words", TABLE), cell("a", GRU(3, 2))),
    "words that were found": (
        cell("a", GRU(2, 11)),
        ArgMax("best"),
        Embedding("words", TABLE),
        cell("b", Linear(3, 2)),
    ),
    "mean of words": (
        Embedding("words", TABLE, sources=("input",)),
        Embedding("others", TABLE[:9, :2], sources=("input",)),
        Concatenate("c", sources=("words", "others")),
        Pool("pool", "mean", 40),
        cell("a", Linear(5, 2)),
    ),
    "words in a row": (
        Reverse("back", STEPS),
        Embedding("words", TABLE),
        Window("w", 2, padding=(1, 0)),
        cell("a", Linear(6, 2)),
    ),
}


def integer(name, skip="delta"):
    layers = NETWORKS[name]
    network = Network(layers)
    x = np.random.default_rng(2).normal(size=(5, STEPS, network.input_size))
    if "input" in sources_of(layers).get("words", ()) or name == "words in a row":
        x = np.random.default_rng(2).integers(0, 9, (5, STEPS, 1)).astype(float)
    return network, x, quantize(network, x, Recipe(skip=skip))


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_hardware(prove, name):
    _, _, network = integer(name)
    lengths = (STEPS, 1, 1, 4, 2, STEPS, STEPS, 3)
    lanes = 3 * len(network.computing)
    prove(network, lanes, lengths=lengths, stalls=(0.0, 0.4, 0.8))


def test_long_sequences(prove):
    layers = (
        Window("w", 3, 2, padding=(1, 1), sources=("input",)),
        cell("a", GRU(3, 2)),
        Pool("mean", "mean", 100),
        Pool("largest", "max", sources=("a",)),
        Concatenate("c", sources=("largest", "mean")),
    )
    x = np.random.default_rng(2).normal(size=(3, 40, 1))
    network = quantize(Network(layers), x, Recipe(skip="delta"))
    assert network.inputs["input"].max_steps == 200
    prove(network, 4, lengths=(131, 2, 1, 17), stalls=(0.3,))


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_are_near_the_float_network(name):
    network, x, quantized = integer(name)
    sequences = [quantized.input_format.quantize(sequence) for sequence in x]
    outputs = np.array(golden.run(quantized, sequences).outputs)
    wanted = evaluate(network, x)
    found = quantized.output_format.dequantize(outputs).reshape(wanted.shape)
    assert np.abs(found - wanted).max() < 0.06 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_model_file(tmp_path, name):
    _, _, network = integer(name)
    save(network, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert encode(loaded) == encode(network)
    assert loaded.sources == network.sources


def test_directions_share_a_format():
    _, _, network = integer("bidirectional")
    formats = network.formats
    assert formats["one.f"] == formats["one.b"] == formats["one.r"] == formats["one"]


def test_shorter_sequences_are_refused():
    layers = (Window("w", 3), cell("a", Linear(3, 2)), Window("v", 2, 2), cell("b", Linear(4, 2)))
    network = quantize(Network(layers), np.random.default_rng(2).normal(size=(5, STEPS, 1)))
    golden.run(network, [np.zeros((4, 1), np.int64)])
    with pytest.raises(DeltaloomError, match=r"^Input must hold sequences of at least 4 timesteps"):
        golden.run(network, [np.zeros((3, 1), np.int64)])


def test_indices_beyond_the_table_are_refused():
    _, _, network = integer("mean of words")
    golden.run(network, [np.array([[0], [8]])])
    sentence = r"^Layer others must get indices from 0 to 8, not 9$"
    with pytest.raises(DeltaloomError, match=sentence):
        golden.run(network, [np.array([[0], [9]])])
    model = QuantizedModel(network)
    for wrong in (9, -1, 2.5):
        sentence = rf"^Input must get whole numbers from 0 to 8, not {wrong}$"
        with pytest.raises(DeltaloomError, match=sentence):
            model([np.array([[0], [wrong]])])


def test_longer_sequences_are_refused():
    _, _, network = integer("bidirectional")
    with pytest.raises(DeltaloomError, match=r"^Input must hold sequences of at most 6 timesteps"):
        golden.run(network, [np.zeros((STEPS + 1, 2), np.int64)])


@pytest.mark.parametrize("name", ["bidirectional", "last states"])
def test_longer_sequences_are_cut_by_the_hardware(build_design, make_run, name):
    """Those who don't ask the golden model get two sequences."""
    _, _, network = integer(name)
    case = make_run(network, 9, lengths=(STEPS, 3, 2))
    stimulus = case.stimulus
    last = stimulus.last.copy()
    last[STEPS * network.input_size - 1] = False
    capture = pysim.build(*build_design(case)).run(Stimulus(stimulus.data, last, stimulus.outputs))
    np.testing.assert_array_equal(
        capture.data, np.concatenate([values.ravel() for values in case.run.outputs])
    )
    np.testing.assert_array_equal(capture.delivered, case.predicted.delivered)
    assert capture.last.sum() == 3


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            (Window("w", 7), cell("a", GRU(7, 2))),
            "Layer w must get sequences of at least 7 timesteps, not 6",
        ),
    ],
)
def test_refuses_by_name(layers, sentence):
    x = np.random.default_rng(2).normal(size=(5, STEPS, 1))
    with pytest.raises(DeltaloomError) as error:
        quantize(Network(layers), x)
    assert str(error.value) == sentence
