"""The golden model against plain definitions that share nothing with it but the graph."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    CoupledLSTM,
    LiGRU,
    Linear,
    PeepholeLSTM,
    ReluRNN,
)
from deltaloom.compiler.encodings import Integers
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Graph,
    Input,
    Mul,
    Path,
    Rescale,
    State,
    Sub,
)
from deltaloom.compiler.integer import IntegerLayer, Skip
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim import golden, layer_golden
from deltaloom.sim.gates import GateSums
from deltaloom.sim.sequences import random_sequences

CELLS = [LSTM, GRU, RNN, ReluRNN, Linear, LiGRU, CoupledLSTM, PeepholeLSTM]


class Interpreter:
    """One layer in Python integers, element by element, with kept sums where there are deltas."""

    def __init__(self, layer):
        self.layer = layer
        self.nodes = layer.graph.nodes
        self.states = {p: [0] * node.size for p, node in layer.graph.of(State)}
        self.hats = {o.name: [0] * o.size for o in layer.operands}
        self.kept = {affine.name: [0] * affine.size for _, affine in layer.graph.of(Affine)}
        self.first = True
        self.saturated = {}

    def step(self, x):
        """Output of a timestep, and which columns of each operand were multiplied."""
        layer = self.layer
        values = [None] * len(self.nodes)
        factors = {}
        for position, node in enumerate(self.nodes):
            match node:
                case Input():
                    values[position] = list(x)
                case State():
                    values[position] = self.states[position]
                case Constant():
                    values[position] = layer.constants[node.name].tolist()
                case Affine():
                    for path in node.paths:
                        operand = layer.operand_of(path)
                        if operand.name not in factors:
                            factors[operand.name] = self.factors(operand, values[operand.node])
                    values[position] = self.affine(node, factors)
                case Add() | Sub():
                    values[position] = self.sum(node, values)
                case Mul():
                    values[position] = [
                        a * b for a, b in zip(values[node.a], values[node.b], strict=True)
                    ]
                case Activation():
                    values[position] = [self.activation(node, v) for v in values[node.operand]]
                case Rescale():
                    values[position] = [self.rescale(node, v) for v in values[node.operand]]
            assert all(node.format.min <= v <= node.format.max for v in values[position]), node.name
        for position in self.states:
            self.states[position] = values[layer.graph.next_of(position)]
        self.first = False
        return values[layer.graph.output], {
            name: [factor is not None for factor in found] for name, found in factors.items()
        }

    def factors(self, operand, values):
        """What each column is multiplied with; None if it is left out."""
        found = []
        hats = self.hats[operand.name]
        for index, value in enumerate(values):
            match self.layer.skip:
                case Skip.NONE:
                    state = isinstance(self.nodes[operand.source], State)
                    found.append(None if state and self.first else value)
                case Skip.ZERO:
                    found.append(value or None)
                case Skip.DELTA:
                    delta = value - hats[index]
                    if delta and abs(delta) >= operand.theta:
                        found.append(delta)
                        hats[index] = value
                    else:
                        found.append(None)
        return found

    def affine(self, node, factors):
        layer = self.layer
        delta = layer.skip is Skip.DELTA
        sums = self.kept[node.name] if delta else [0] * node.size
        for path in node.paths:
            weights = layer.weights[node.key(path)].tolist()
            unit = layer.operand_of(path).format.frac + path.format.frac
            align = 1 << (node.format.frac - unit)
            for column, factor in enumerate(factors[layer.operand_of(path).name]):
                if factor is not None:
                    for row in range(node.size):
                        sums[row] += weights[row][column] * factor * align
        biases = layer.biases[node.name].tolist()
        return [total + bias for total, bias in zip(sums, biases, strict=True)]

    def sum(self, node, values):
        sign = 1 if isinstance(node, Add) else -1
        units = [Fraction(2) ** -self.nodes[p].format.frac for p in (node.a, node.b)]
        found = []
        for a, b in zip(values[node.a], values[node.b], strict=True):
            real = (a * units[0] + sign * b * units[1]) * Fraction(2) ** node.format.frac
            assert real.denominator == 1
            found.append(int(real))
        return found

    def activation(self, node, value):
        if node.function == "relu":
            return max(value, 0)
        table = self.layer.tables[node.name]
        code = value % (1 << table.source.width)
        segment, offset = divmod(code, (1 << table.source.width) // len(table.base))
        return (int(table.base[segment]) + int(table.slope[segment]) * offset) >> table.shift

    def rescale(self, node, value):
        source = self.nodes[node.operand].format
        real = value * Fraction(2) ** (node.format.frac - source.frac)
        rounded = floor(real + Fraction(1, 2))
        cut = min(max(rounded, node.format.min), node.format.max)
        self.saturated[node.name] = self.saturated.get(node.name, 0) + (cut != rounded)
        return cut


def interpret(network, sequences):
    """Outputs of each sequence; by layer, what fired in each and how often values were cut off."""
    values = [sequence.tolist() for sequence in sequences]
    traces = {}
    for layer in network.layers:
        if not isinstance(layer, IntegerLayer):
            values = [sequence[-1:] for sequence in values]
            continue
        outputs, fired, saturated = [], [], {}
        for sequence in values:
            interpreter = Interpreter(layer)
            steps = [interpreter.step(x) for x in sequence]
            outputs.append([output for output, _ in steps])
            fired.append([columns for _, columns in steps])
            for name, count in interpreter.saturated.items():
                saturated[name] = saturated.get(name, 0) + count
        values, traces[layer.name] = outputs, (fired, saturated)
    return [np.array(output) for output in values], traces


def check(network, sequences):
    run = golden.run(network, sequences, trace=True)
    outputs, traces = interpret(network, sequences)
    for got, want in zip(run.outputs, outputs, strict=True):
        np.testing.assert_array_equal(got, want)
    for name, (fired, saturated) in traces.items():
        trace = run.traces[name]
        assert trace.saturated == saturated
        for operand, columns in trace.fired.items():
            for sequence, steps in enumerate(fired):
                want = [step[operand] for step in steps]
                np.testing.assert_array_equal(columns[sequence, : len(want)], want)
                assert not columns[sequence, len(want) :].any()
    return run


@pytest.mark.parametrize("theta", [None, 0, 1, 6], ids="theta {}".format)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (7, 2)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell(integer_network, cell, sizes, theta):
    options = {"skip": "zero"} if theta is None else {"skip": "delta", "theta": theta}
    network = integer_network(cell(*sizes), recipe=Recipe(**options), seed=sum(sizes))
    check(network, random_sequences(network, np.random.default_rng(0)))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("int2", "int3", elementwise=8),
        Recipe("int3", "int16", elementwise=11, output=4),
        Recipe("int16", "int16"),
        Recipe("int5", "int7", paths={"l.0.*.x": {"weights": "int16"}}, clip="minmax"),
        Recipe("int8", "int4", paths={"l.0.x": {"activations": "int13"}}),
    ],
    ids=["narrow", "wide inputs", "16 bits", "aligned", "16-bit path"],
)
def test_every_width(integer_network, cell, recipe):
    network = integer_network(cell(3, 5), recipe=recipe)
    check(network, random_sequences(network, np.random.default_rng(0), (6, 1, 3)))


@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_chains(integer_network, skip):
    recipe = Recipe(skip=skip)
    for cells in (
        [LSTM(3, 4), GRU(4, 6), RNN(6, 3)],
        [GRU(2, 5), "last", Linear(5, 2)],
        [ReluRNN(2, 3), "last", GRU(3, 2), "Linear"],
    ):
        cells = [Linear(2, 2) if cell == "Linear" else cell for cell in cells]
        network = integer_network(*cells, recipe=recipe)
        check(network, random_sequences(network, np.random.default_rng(0)))


@pytest.mark.parametrize("cell", CELLS)
def test_threshold_of_zero_equals_dense(integer_network, cell):
    """Bit for bit, for every way to leave columns out without changing the sums."""
    outputs = []
    for recipe in (
        Recipe(),
        Recipe(skip="zero"),
        Recipe(skip="delta"),
        Recipe(skip="delta", theta=1),
    ):
        network = integer_network(cell(5, 7), recipe=recipe, seed=3)
        sequences = random_sequences(network, np.random.default_rng(0), (60, 1, 20))
        outputs.append(golden.run(network, sequences).outputs)
    for others in outputs[1:]:
        for one, other in zip(outputs[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cell", CELLS)
def test_a_threshold_changes_results_and_lists(integer_network, cell):
    exact, coarse = (
        golden.run(
            network := integer_network(cell(5, 7), recipe=Recipe(skip="delta", theta=theta)),
            random_sequences(network, np.random.default_rng(0)),
            trace=True,
        )
        for theta in (0, 20)
    )
    assert coarse.traces["l.0"].fired["x"].sum() < exact.traces["l.0"].fired["x"].sum()
    assert any((a != b).any() for a, b in zip(exact.outputs, coarse.outputs, strict=True))


@pytest.mark.parametrize("theta", [0, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_batch_equals_one_by_one(integer_network, cell, theta):
    network = integer_network(cell(4, 6), recipe=Recipe(skip="delta", theta=theta))
    sequences = random_sequences(network, np.random.default_rng(0), (9, 1, 4, 4, 13))
    together = golden.run(network, sequences, trace=True)
    assert [len(output) for output in together.outputs] == [9, 1, 4, 4, 13]
    for place, sequence in enumerate(sequences):
        alone = golden.run(network, [sequence], trace=True)
        np.testing.assert_array_equal(alone.outputs[0], together.outputs[place])
        for name, fired in alone.traces["l.0"].fired.items():
            shared = together.traces["l.0"].fired[name][place]
            np.testing.assert_array_equal(fired[0], shared[: len(sequence)])
            assert not shared[len(sequence) :].any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("recipe", [Recipe(), Recipe("int16", "int16")], ids=["8", "16"])
def test_extremes(integer_network, cell, recipe):
    """Large weights and inputs at both ends: formats saturate and nothing overflows."""
    scale = {ReluRNN: 3.0, LiGRU: 1.5}.get(cell, 40.0)  # states without a bound must not explode
    network = integer_network(cell(3, 4), recipe=recipe, scale=scale)
    low, high = network.input_format.min, network.input_format.max
    steps = [np.full((12, 3), low), np.full((12, 3), high), np.tile([[low], [high]], (6, 3))]
    run = check(network, steps)
    if cell not in (Linear, LiGRU):
        assert sum(run.traces["l.0"].saturated.values()) > 0


@pytest.mark.parametrize("cell", [LSTM, GRU, ReluRNN])
def test_long_sequences(integer_network, cell):
    network = integer_network(cell(2, 3), recipe=Recipe(skip="delta", theta=3))
    check(network, random_sequences(network, np.random.default_rng(0), (200, 3)))


@pytest.mark.parametrize("chunk", [1, 40, 1000])
def test_chunks_of_time(integer_network, monkeypatch, chunk):
    """Pre-activations are computed ahead in pieces; where they are cut does not matter."""
    network = integer_network(GRU(3, 4), recipe=Recipe(skip="delta", theta=2))
    sequences = random_sequences(network, np.random.default_rng(0))
    want = golden.run(network, sequences).outputs
    monkeypatch.setattr(layer_golden, "CHUNK_ELEMENTS", chunk)
    for got, whole in zip(golden.run(network, sequences).outputs, want, strict=True):
        np.testing.assert_array_equal(got, whole)


def bound_of(layer):
    found = 0
    for position, affine in layer.graph.of(Affine):
        (reader,) = layer.graph.readers(position)
        shift = affine.format.frac - layer.graph.nodes[reader].format.frac
        half = (1 << shift) >> 1 if shift > 0 else 0
        bias = int(np.abs(layer.biases[affine.name]).max())
        found = max(found, layer.sum_bound(affine) + bias + half)
    return found


@pytest.mark.parametrize(
    ("widths", "inputs", "narrow"),
    [
        (("int8", "int8"), 40, True),
        (("int12", "int11"), 40, False),
        (("int16", "int16"), 100, False),
    ],
    ids=["float32", "just above 2**24", "float64"],
)
def test_sums_near_the_limits_of_floating_point(integer_network, widths, inputs, narrow):
    """Every input at an extreme that adds up: sums reach their bound, on either side of 2**24."""
    network = integer_network(Linear(inputs, 3), recipe=Recipe(*widths, elementwise=16))
    (layer,) = network.layers
    assert (bound_of(layer) < 1 << 24) == narrow
    low, high = layer.input_format.min, layer.input_format.max
    weights = layer.weights["y.x"]
    steps = [np.where(row > 0, high, low) for row in weights]
    steps += [np.where(row > 0, low + 1, high) for row in weights]
    steps += [np.where(row > 0, high - 1, low + 1) for row in weights]
    check(network, [np.array(steps)])


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_switch_to_float64(integer_network, excess):
    """The narrow type is used below the bound of 2**24, and not at it."""
    (layer,) = integer_network(Linear(3, 2)).layers
    rest = bound_of(layer) - int(np.abs(layer.biases["y"]).max())
    layer = replace(layer, biases={"y": np.full(2, (1 << 24) + excess - rest)})
    assert bound_of(layer) == (1 << 24) + excess
    assert GateSums(layer).type is (np.float32 if excess < 0 else np.float64)


def test_by_hand():
    """h = max(0, 1.5 x - h + 0.5), rounded half up and saturated to s4.0, worked out on paper."""
    small, wide = Format(4, 0), Format(8, 1)
    paths = tuple(
        Path(name=name, operand=operand, format=wide, encoding=Integers.of(8))
        for operand, name in enumerate("xh")
    )
    graph = Graph(
        nodes=(
            Input(name="x", size=1, format=small),
            State(name="h", size=1, format=small),
            Affine(name="n", size=1, paths=paths, format=wide),
            Rescale(name="n_s4", size=1, operand=2, format=small),
            Activation(name="relu", size=1, operand=3, function="relu", format=small),
        ),
        next_states=(4,),
        output=4,
    )
    graph.check()
    weights = {"n.x": np.array([[3]]), "n.h": np.array([[-2]])}
    biases = {"n": np.array([1])}
    layer = IntegerLayer("l", "", graph, weights, biases, {}, {}, Skip.NONE, {})
    # In halves: 10, -33, 22, -13, 16, -10, 7, -10; rounded: 5, -16, 11, -6, 8, -5, 4, -5.
    inputs = np.array([3, -8, 7, 0, 5, 1, 2, -1])[:, None]
    run = golden.run(IntegerNetwork((layer,)), [inputs], trace=True)
    assert run.outputs[0].ravel().tolist() == [5, 0, 7, 0, 7, 0, 4, 0]
    assert run.traces["l"].saturated == {"n_s4": 3}


@pytest.mark.parametrize(
    ("sequences", "sentence"),
    [
        ([], r"^Input must hold at least one sequence of at least one timestep$"),
        ([np.zeros((0, 3), int)], r"^Input must hold at least one sequence of at least one "),
        ([np.zeros((2, 4), int)], r"^Input must have shape \(time, 3\), not \(2, 4\)$"),
        ([np.zeros(3, int)], r"^Input must have shape \(time, 3\), not \(3,\)$"),
        ([np.full((2, 3), 128)], r"^Input integers must lie within s8\.-?[0-9]+$"),
    ],
)  # fmt: skip
def test_refuses(integer_network, sequences, sentence):
    with pytest.raises(DeltaloomError, match=sentence):
        golden.run(integer_network(RNN(3, 2)), sequences)
