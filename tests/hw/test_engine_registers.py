"""Values that formats cut off are counted in hardware as the golden model counts them."""

# amaranth: UnusedElaboratable=no

from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler import cells
from deltaloom.compiler.cell import Cell, sigmoid, tanh
from deltaloom.compiler.graph import Rescale
from deltaloom.compiler.network import Network
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.saturation import saturating_states
from deltaloom.compiler.states import LoadedStates

LENGTHS = (3, 1, 1, 6, 2)


@pytest.fixture
def narrow(random_layer):
    """``narrow(*cells)``: large weights, and formats for values that are much too small."""

    def make(*layers, skip="delta", range=0.1, **options):
        found = [random_layer(f"l.{k}", cell, scale=3.0) for k, cell in enumerate(layers)]
        rng = np.random.default_rng(1)
        calibration = range * rng.normal(size=(4, 20, layers[0].input_size))
        return quantize(Network(tuple(found)), calibration, Recipe(skip=skip, **options))

    return make


def check(prove, make_run, network, lanes, counted, **options):
    """Hold the counters to the golden model; ``counted`` values have to be cut off somewhere."""
    run = make_run(network, lanes, registers=True, lengths=LENGTHS, **options).run
    cut = {layer: sum(trace.saturated.values()) for layer, trace in run.traces.items()}
    assert {layer for layer, count in cut.items() if count} >= set(counted)
    prove(network, lanes, registers=True, lengths=LENGTHS, stalls=(0.0, 0.4), **options)
    return run


@pytest.mark.parametrize(
    ("layers", "lanes", "skip", "counted"),
    [
        ((cells.LiGRU(3, 4),), 3, "zero", ("l.0",)),
        ((cells.LSTM(3, 5), cells.LiGRU(5, 3)), 7, "delta", ("l.1",)),
        pytest.param((cells.LayerNormLSTM(2, 3),), 4, "none", ("l.0",), marks=pytest.mark.slow),
        ((cells.SRU(3, 3),), 2, "delta", ("l.0",)),
        ((cells.GRU(1, 1), cells.Linear(1, 2)), 2, "delta", ("l.0",)),
        ((cells.LiGRU(3, 4), cells.ResetBeforeGRU(4, 3)), 5, "zero", ("l.0",)),
    ],
)
def test_hardware_equals_its_models(narrow, prove, make_run, layers, lanes, skip, counted):
    check(prove, make_run, narrow(*layers, skip=skip), lanes, counted)


@pytest.mark.slow
def test_convolution(narrow, prove, make_run):
    network = narrow(cells.ConvLSTM(1, 2, (2, 3), 3))
    check(prove, make_run, network, 3, ("l.0",))


def test_a_state_that_grows(narrow, prove, make_run):
    """LiGRU's state has no bound of its own: it leaves the range that calibration found."""
    network = narrow(cells.LiGRU(2, 5), range=0.03, clip="minmax")
    run = check(prove, make_run, network, 4, ("l.0",), seed=3)
    (layer,) = network.layers
    assert run.traces["l.0"].saturated[saturating_states(layer.graph)["h"]] > 0


def test_a_start_that_is_cut_off(narrow, prove, make_run):
    """Rounding of a state's own start counts once a sequence that starts from it."""
    network = narrow(cells.GRU(2, 5), range=1.0)
    (layer,) = network.layers
    h = layer.operands[1]
    state = layer.graph.nodes[h.source]
    start = np.full(5, state.format.max)
    network = type(network)((replace(layer, initial={"h": start}),))
    run = check(prove, make_run, network, 4, ("l.0",))
    rounded = layer.graph.nodes[h.node].name
    assert run.traces["l.0"].saturated[rounded] >= 5 * 2  # some of five sequences start so


class Damped(Cell):
    """A gate of all units."""

    states = ("h",)

    def step(self, x, h):
        u = self.affine("u", x, h)
        return sigmoid(u.sum()) * tanh(u)


def test_a_scalar_counts_once(random_layer, prove, make_run):
    layer = random_layer("l.0", Damped(2, 5), scale=12.0)
    calibration = np.random.default_rng(0).normal(size=(1, 2, 2))
    network = quantize(Network((layer,)), calibration, Recipe())
    run = check(prove, make_run, network, 3, ("l.0",))
    graph = network.layers[0].graph
    (scalar,) = [p for p, _ in graph.of(Rescale) if p in graph.scalars]
    assert run.traces["l.0"].saturated[graph.nodes[scalar].name] > 0


def test_a_state_that_is_given_and_cut_off(narrow, prove, make_run, monkeypatch):
    """Rounding of a loaded state counts once a load."""
    network = narrow(cells.GRU(2, 5))
    (layer,) = network.layers
    top = layer.graph.nodes[layer.operands[1].source].format.max
    states = LoadedStates({"l.0": {"h": np.full((5, 5), top)}}, np.array([1, 1, 0, 1, 0], bool))
    monkeypatch.setitem(make_run.__globals__, "random_states", lambda *_: states)
    run = check(prove, make_run, network, 4, ("l.0",))
    rounded = layer.graph.nodes[layer.operands[1].node].name
    assert run.traces["l.0"].saturated[rounded] >= 5 * 3


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["none", "zero", "delta", "top_k"])
@pytest.mark.parametrize(
    "cell",
    [
        cells.RNN(2, 9),
        cells.PeepholeLSTM(3, 5),
        cells.CoupledLSTM(3, 5),
        cells.ProjectedLSTM(3, 7, 2),
        cells.ResetBeforeGRU(3, 5),
        cells.SRU(3, 5),
        cells.LayerNormLSTM(3, 4, "mad"),
    ],
)
def test_every_cell(narrow, prove, make_run, cell, skip):
    network = narrow(cell, skip=skip, **({"k": 2} if skip == "top_k" else {}))
    for lanes in (1, 6):
        check(prove, make_run, network, lanes, (), seed=lanes)


@pytest.mark.slow
def test_long_sequences(narrow, make_run, check_run):
    network = narrow(cells.LiGRU(3, 6))
    case = make_run(network, 4, lengths=(130, 1, 110), stall=0.3, registers=True)
    assert sum(case.run.traces["l.0"].saturated.values()) > 100
    check_run(case)
