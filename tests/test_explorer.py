import json
import math

import numpy as np
import pytest

import deltaloom as dl
from deltaloom import explorer
from deltaloom.compiler.cells import GRU, LSTM, Linear
from deltaloom.search.front import dominates


@pytest.fixture(scope="module")
def network(float_network):
    return float_network(GRU(3, 8), LSTM(8, 6), Linear(6, 2))


@pytest.fixture(scope="module")
def x():
    return list(np.random.default_rng(1).normal(size=(4, 25, 3)).cumsum(axis=1) * 0.2)


@pytest.fixture(scope="module")
def error(network, x):
    exact = dl.quantize(network, x, dl.Recipe("int16", "int16"))
    return lambda model: float(np.sqrt(np.mean((np.array(model(x)) - np.array(exact(x))) ** 2)))


@pytest.fixture(scope="module")
def found(network, x, error):
    return dl.explore(network, x, evaluate=error, max_loss=0.05, lanes=9, budget=80)


def test_every_point_is_its_recipe_quantized(found, network, x, error):
    assert 20 < len(found.points) <= 80
    for point in (found.points[0], *found.front[:3]):
        model = dl.quantize(network, x, point.recipe)
        for got, want in zip(point.model.integer(x), model.integer(x), strict=True):
            np.testing.assert_array_equal(got, want)
        assert point.error == error(model)
        activity = model.activity(x, found.lanes)
        assert point.activity.layers == activity.layers
        assert point.cycles == activity.cycles
        for layer, operands in point.thresholds.items():
            for operand, theta in operands.items():
                assert point.recipe.theta_of(layer, operand) == theta


def test_front_is_of_all_points(found):
    def costs(point):
        return (point.error, -point.operations_eliminated)

    limit = found.reference + 0.05
    assert found.reference == found.points[0].error
    for point in found.points:
        beaten = any(dominates(costs(other), costs(point)) for other in found.points)
        if point.error <= limit and not beaten:
            assert any(costs(point) == costs(other) for other in found.front)
        assert (point.cycles is not None) == (point in found.front)
    assert found.front[-1].operations_eliminated > found.points[0].operations_eliminated + 0.2


def test_best_within_a_loss(found):
    for loss in (0.0, 0.01, 0.05):
        best = found.best(loss)
        assert best.error <= found.reference + loss
        shares = [
            p.operations_eliminated for p in found.points if p.error <= found.reference + loss
        ]
        assert best.operations_eliminated == max(shares)


def test_best_is_confirmed_on_other_data(found):
    """Points that lose too much elsewhere are passed over."""
    best = found.best(0.05)
    refused = [best.model]
    other = found.best(0.05, lambda model: 1.0 if model in refused else 0.0)
    assert other is not best
    assert other.operations_eliminated <= best.operations_eliminated
    first = found.points[0]
    assert found.best(0.05, lambda model: 0.0 if model is first.model else 1.0) is first


def test_there_may_be_no_best(found):
    least = min(point.error for point in found.points) - found.reference
    with pytest.raises(dl.DeltaloomError) as error:
        found.best(-1.0)
    count = len(found.points)
    assert (
        str(error.value) == f"Loss must be at least {least:g} for one of the {count} points, not -1"
    )


def test_widths_are_a_dimension(network, x, error):
    options = {"evaluate": error, "max_loss": 0.1, "budget": 40}
    found = dl.explore(network, x, widths={"l.0.*": ["int4"], "l.2.x": ["int16"]}, **options)
    sizes = {point.bytes for point in found.points}
    assert len(sizes) > 2
    small = min(found.points, key=lambda point: point.bytes)
    assert small.bytes < found.points[0].bytes
    for got, want in zip(
        small.model.integer(x), dl.quantize(network, x, small.recipe).integer(x), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_an_integer_model_has_its_thresholds_searched(network, x, error):
    model = dl.quantize(network, x, dl.Recipe("int6", skip="delta", theta=2))
    found = dl.explore(model, evaluate=error, thresholds={"*": [3, 9]}, max_loss=0.05, budget=30)
    assert found.points[0].recipe is None
    np.testing.assert_array_equal(found.points[0].model.integer(x), model.integer(x))
    thetas = {t for p in found.points for each in p.thresholds.values() for t in each.values()}
    assert thetas == {2, 3, 9}


def test_dictionary_table_and_picture(found, tmp_path):
    data = json.loads(found.to_json())
    assert data["measured"] == len(data["points"]) == len(found.points)
    assert data["front"] == [point.to_dict() for point in found.front]
    assert str(found).splitlines()[0].startswith("error")
    assert len(str(found).splitlines()) == 1 + len(found.front)
    pytest.importorskip("matplotlib")
    picture = found.draw(tmp_path / "front.svg")
    assert "Pareto front" in picture.read_text()


def test_written_whole_or_not_at_all(found, tmp_path):
    folder = tmp_path / "found"
    best = found.best(0.05)
    for _ in range(2):
        found.write(folder, best, picture=False)
    assert {path.name for path in folder.iterdir()} == {
        *("exploration.json", "model.safetensors", "recipe.toml"),
    }
    assert dl.Recipe.load(folder / "recipe.toml") == best.recipe
    assert json.loads((folder / "exploration.json").read_text())["best"] == best.to_dict()
    assert list(tmp_path.iterdir()) == [folder]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").write_text("mine")
    with pytest.raises(dl.DeltaloomError, match="must be empty or hold an exploration"):
        found.write(tmp_path / "other", best)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_loss": math.nan}, "Parameter max_loss must be a finite number, not nan"),
        ({"max_loss": -1.0}, "Parameter max_loss must not be negative, not -1.0"),
        ({"budget": 0}, "Budget must be a positive integer, not 0"),
        (
            {"recipe": dl.Recipe(skip="delta", max_loss=1.0)},
            "Recipe max_loss must be left out for a search of thresholds, which has a max_loss of",
        ),
        ({"recipe": dl.Recipe()}, "Recipe skip must be 'delta' for a search of thresholds, not"),
        ({"evaluate": lambda model: 0.0}, "Function evaluate must run the model that it is given"),
        ({"evaluate": lambda model: None}, "Evaluate must return a finite number, not None"),
    ],
)
def test_refuses(network, x, error, options, sentence):
    with pytest.raises(dl.DeltaloomError) as raised:
        dl.explore(network, x, **{"evaluate": error, **options})
    assert str(raised.value).startswith(sentence)


def test_an_integer_model_has_its_own_recipe(network, x, error):
    model = dl.quantize(network, x, dl.Recipe(skip="delta"))
    with pytest.raises(dl.DeltaloomError, match="must be explored without calibration"):
        dl.explore(model, x, evaluate=error)


def test_operands_with_few_operations_stay(network, x, error, monkeypatch):
    monkeypatch.setattr(explorer, "LEAST_SHARE", 0.1)
    found = dl.explore(network, x, evaluate=error, max_loss=0.05, budget=30)
    assert all(point.thresholds["l.2"] == {"x": 0} for point in found.points)
