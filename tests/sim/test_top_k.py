"""As many columns in each timestep: what they are, and that nothing else decides the cycles."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest

from deltaloom.compiler import artifact
from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    ConvLSTM,
    LayerNormLSTM,
    Linear,
    ProjectedLSTM,
    ResetBeforeGRU,
)
from deltaloom.compiler.errors import DeltaloomError, ModelFileError, UnsupportedError
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.sim import cycles, golden, layer_golden
from deltaloom.sim.columns import selected

CELLS = [
    (GRU(5, 7), 4),
    (LSTM(3, 6), 9),
    (ResetBeforeGRU(4, 6), 5),
    (ProjectedLSTM(3, 7, 5), 4),
    (SRU(4, 6), 3),
    (LayerNormLSTM(3, 5), 7),
    (Linear(6, 3), 2),
    (RNN(5, 5), 40),
]


def test_selection_by_hand():
    differences = np.array([[3, -5, 5, 0, -3], [0, 0, 0, 0, 0], [-128, 127, 1, 2, 3]])
    want = [[False, True, True, False, False], [True, True, False, False, False]]
    want.append([True, True, False, False, False])
    assert selected(differences, 2).tolist() == want
    assert selected(differences[0], 3).tolist() == [True, True, True, False, False]
    assert selected(differences, 5).all()


def test_golden_model_by_hand(integer_network):
    """A linear layer's output is that of the values it used last, for whatever fell behind."""
    (layer,) = integer_network(Linear(4, 2), recipe=Recipe(skip="top_k", k=2)).layers
    x = np.array([[7, 0, 0, 0], [7, 3, 2, 1], [6, 3, 2, 1], [6, 4, 4, 9], [6, 4, 4, 9]])
    used = np.array([[7, 0, 0, 0], [7, 3, 2, 0], [6, 3, 2, 1], [6, 3, 4, 9], [6, 4, 4, 9]])
    fired = [[0, 1], [1, 2], [0, 3], [2, 3], [0, 1]]
    run = layer_golden.run_layer(layer, x[:, None], np.array([5]), trace=True)
    whole = layer_golden.run_layer(layer, used[:, None], np.array([5]))
    # With values that are used at once nothing has fallen behind.
    np.testing.assert_array_equal(run.outputs, whole.outputs)
    for step, columns in enumerate(fired):
        assert np.flatnonzero(run.trace.fired["x"][0, step]).tolist() == columns


@pytest.mark.parametrize(("cell", "lanes"), CELLS, ids=lambda value: type(value).__name__)
def test_hardware_equals_its_models(prove, integer_network, cell, lanes):
    network = integer_network(cell, recipe=Recipe(skip="top_k", k=2))
    prove(network, lanes, stalls=(0.0, 0.5), lengths=(4, 1, 1, 2, 5))


@pytest.mark.parametrize("k", [1, 3, 64])
def test_two_layers(prove, integer_network, k):
    network = integer_network(GRU(3, 7), LSTM(7, 4), "last", Linear(4, 2), recipe=Recipe(
        skip="top_k", k=k
    ))  # fmt: skip
    prove(network, 9, lengths=(3, 1, 4))


@pytest.mark.parametrize("cell", [GRU(6, 9), ResetBeforeGRU(6, 9)])
def test_cycles_do_not_depend_on_the_data(integer_network, cell):
    """In the cycle model, which the hardware equals: zeros, noise and full swing alike."""
    network = integer_network(cell, recipe=Recipe(skip="top_k", k=3))
    folded, lengths = schedule(network, 8), (9, 1, 4)
    rng, limit = np.random.default_rng(0), network.input_format.max
    kinds = [
        lambda length: np.zeros((length, 6), int),
        lambda length: rng.integers(-limit, limit, (length, 6)),
        lambda length: np.full((length, 6), limit) * (-1) ** np.arange(length)[:, None],
    ]
    found = []
    for kind in kinds:
        run = golden.run(network, [kind(length) for length in lengths], trace=True)
        for fired in run.traces["l.0"].fired.values():
            assert set(fired.sum(axis=2).ravel().tolist()) <= {0, 3}
        predicted = cycles.predict(network, folded, run.traces, lengths)
        found.append(predicted.delivered.tolist())
    assert found[0] == found[1] == found[2]


def test_all_of_them_is_exact(integer_network):
    """As with deltas whose threshold is zero; and with fewer it is not."""
    x = np.random.default_rng(0).integers(-100, 100, (3, 40, 5))
    outputs = {}
    for recipe in (Recipe(), Recipe(skip="top_k", k=9), Recipe(skip="top_k", k=2)):
        run = golden.run(integer_network(GRU(5, 8), recipe=recipe), list(x))
        outputs[recipe.k] = np.stack(run.outputs)
    np.testing.assert_array_equal(outputs[None], outputs[9])
    assert (outputs[None] != outputs[2]).any()


def test_model_file(integer_network, tmp_path):
    network = integer_network(GRU(3, 5), recipe=Recipe(skip="top_k", k={"l.0": {"h": 2}}))
    (layer,) = network.layers
    assert layer.kept == {"x": 3, "h": 2}
    artifact.save(network, tmp_path / "m.safetensors")
    (loaded,) = artifact.load(tmp_path / "m.safetensors").layers
    assert loaded.kept == layer.kept
    assert loaded.operands == layer.operands


@pytest.mark.parametrize("count", [0, 6, 1 << 30])
def test_model_file_keeps_its_rules(integer_network, tmp_path, count):
    network = integer_network(GRU(3, 5), recipe=Recipe(skip="top_k", k=2))
    object.__setattr__(network.layers[0], "kept", {"x": 2, "h": count})
    artifact.save(network, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match=r"Kept elements of l\.0\.h must be 5, which are all"):
        artifact.load(tmp_path / "m.safetensors")


def test_more_than_can_be_selected(integer_network):
    """All of 70 need no selection; 65 of 70 would need too many registers."""
    integer_network(GRU(70, 3), recipe=Recipe(skip="top_k", k={"l.0": {"h": 2}}))
    with pytest.raises(DeltaloomError, match=r"k of l\.0\.x must be an integer from 1 to 64"):
        Recipe(skip="top_k", k={"l.0": {"x": 65}})


@pytest.mark.parametrize("k", [2, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("cell", "lanes"),
    [(GRU(3, 5), 4), (LSTM(2, 6), 24), (ResetBeforeGRU(3, 4), 2), (ProjectedLSTM(3, 7, 5), 4)],
)
def test_loaded_states(prove, integer_network, cell, lanes, k):
    """Such a state is listed whole, as it is not a difference; then as many as ever."""
    network = integer_network(cell, recipe=Recipe(skip="top_k", k=k))
    prove(network, lanes, registers=True, stalls=(0.0, 0.4), lengths=(3, 1, 1, 4, 2))


def test_convolutions_are_refused(float_network):
    cell = ConvLSTM(1, 2, (3, 3), 3)
    network = float_network(cell)
    x = np.random.default_rng(0).normal(size=(2, 5, 9))
    with pytest.raises(UnsupportedError) as error:
        quantize(network, x, Recipe(skip="top_k", k=2))
    assert str(error.value) == (
        "Recipe skip 'top_k' is not supported for layer l.0, which convolves; supported are "
        "none, zero and delta"
    )
