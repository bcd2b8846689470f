import json

import numpy as np
import pytest

from deltaloom.compiler.artifact import ModelBytes, model_bytes
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe
from deltaloom.model import QuantizedModel
from deltaloom.search.sweep import Sweep, SweepPoint, sweep_widths
from deltaloom.search.trials import Trials


def quiet(_):
    pass


@pytest.fixture
def case(float_network):
    network = float_network(GRU(3, 4), Linear(4, 2))
    return network, np.random.default_rng(1).normal(size=(3, 20, 3))


def loss(model):
    """Sixteen bits or float cost nothing, narrow weights most."""
    if not isinstance(model, QuantizedModel):
        return 1.0
    gru = model.network.computing[0]
    weights = max(int(np.abs(values).max()).bit_length() + 1 for values in gru.weights.values())
    return 1.0 + 2.0**-weights + 2.0 ** -gru.operands[0].format.width / 16


def test_every_pair_as_it_would_be_quantized(case):
    network, x = case
    said = []
    trials = Trials(network, x, loss, QuantizedModel)
    found = sweep_widths(trials, Recipe(clip="minmax"), range(3, 6), [4, "int7"], said.append)
    pairs = [(f"int{w}", a) for w in (3, 4, 5) for a in ("int4", "int7")]
    assert [(point.weights, point.activations) for point in found.points] == pairs
    for point in found.points:
        recipe = Recipe(point.weights, point.activations, clip="minmax")
        model = Trials(network, x, None, QuantizedModel).model(recipe)
        assert point.bytes == model_bytes(model.network)
        assert point.loss == loss(model)
        assert point.error is None
    assert found.float_loss == 1.0
    assert said[0].startswith("Sweep, 1 of 6: int3 weights, int4 activations: loss 1.")


def test_errors_stand_for_losses(case):
    found = sweep_widths(Trials(*case, None, QuantizedModel), Recipe(), [2, 8], [8], quiet)
    coarse, fine = found.points
    assert fine.error > coarse.error + 20
    assert fine.loss is found.float_loss is None
    assert found.front == (coarse, fine)
    assert str(found).splitlines()[2].endswith("dB")
    with pytest.raises(DeltaloomError, match=r"^Sweep must have been made with evaluate"):
        found.smallest(1.0)


def test_other_encodings(case):
    found = sweep_widths(
        Trials(*case, loss, QuantizedModel), Recipe(), ["binary", "ternary", 4], [6], quiet
    )
    sizes = [point.bytes.weights for point in found.points]
    assert sizes == sorted(sizes)
    assert sizes[0] * 4 == pytest.approx(sizes[2], abs=8)


def point(bits, loss, size, tables=0):
    return SweepPoint(f"int{bits}", "int4", loss, None, ModelBytes(size, 0, tables, 100))


def test_front():
    points = (
        point(2, 5.0, 10),
        point(3, 2.0, 20),
        point(4, 3.0, 20),
        point(5, 2.0, 30),
        point(6, 1.5, 30, tables=5),
        point(7, 9.0, 90),
    )
    found = Sweep(points, 1.0)
    assert found.front == (points[0], points[1], points[4])
    assert found.smallest(4.0) is points[0]
    assert found.smallest(1.0) is points[1]
    assert found.smallest(0.5) is points[4]
    with pytest.raises(DeltaloomError) as error:
        found.smallest(0.25)
    assert str(error.value) == (
        "Loss above the float network's must be at least 0.5 for one of the 6 points, not 0.25"
    )
    lines = str(found).splitlines()
    assert lines[1].split() == ["int2", "int4", "10", "90.0%", "5"]
    assert lines[-1].split() == ["float32", "100", "0.0%", "1"]


def test_is_saved_whole(case, tmp_path):
    pytest.importorskip("matplotlib")
    found = sweep_widths(Trials(*case, loss, QuantizedModel), Recipe(), [3, 5], [4, 6], quiet)
    paths = found.save(tmp_path / "new")
    assert [path.name for path in paths] == ["sweep.json", "sweep.svg"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["sweep.json", "sweep.svg"]
    data = json.loads(paths[0].read_text())
    assert data == found.to_dict()
    assert len(data["points"]) == 4
    assert sum(point["on_front"] for point in data["points"]) == len(found.front)
    first = data["points"][0]
    assert first["bytes"] == first["weight_bytes"] + first["bias_bytes"] + first["table_bytes"]
    picture = paths[1].read_text()
    assert "int3, int4" in picture or "int3, int6" in picture
    assert found.draw(tmp_path / "again.svg").read_text() == picture


def test_refuses_a_folder_that_is_a_file(case, tmp_path):
    found = Sweep((point(2, 1.0, 10),), 1.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeltaloomError, match=r"^Sweep .*sweep.json must be writable: "):
        found.save(tmp_path / "file")


@pytest.mark.parametrize(
    ("recipe", "weights", "activations", "sentence"),
    [
        (Recipe(), [], [4], "Sweep weights must be at least one width"),
        (
            Recipe(),
            [4],
            [4, "int4"],
            "Sweep activations must be different widths, not int4 twice",
        ),
        (Recipe(), 4, [4], "Sweep weights must be several widths, not 4"),
        (Recipe(), "int4", [4], "Sweep weights must be several widths, not 'int4'"),
        (
            Recipe(),
            range(2, 1 << 60),
            [4],
            "Recipe weights must be one of int2 to int16, binary, "
            "ternary, quaternary, shift2, shift3, shift4, not 'int17'",
        ),
        (Recipe(), [4], [1], "Recipe activations must be one of int2 to int16, not 'int1'"),
        (
            Recipe(),
            [4],
            ["binary"],
            "Recipe activations must be one of int2 to int16, not 'binary'",
        ),
        (
            Recipe(max_loss=1.0),
            [4],
            [4],
            "Recipe max_loss must be left out of a sweep, which has no bound",
        ),
        (
            Recipe(skip="delta", theta=1),
            [4],
            [4],
            "Recipe theta must be 0 in a sweep: its unit changes with the width of activations",
        ),
    ],
)
def test_refuses(case, recipe, weights, activations, sentence):
    trials = Trials(*case, lambda model: pytest.fail("nothing is measured"), QuantizedModel)
    with pytest.raises(DeltaloomError) as error:
        sweep_widths(trials, recipe, weights, activations, quiet)
    assert str(error.value) == sentence
