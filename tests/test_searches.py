import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier()


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 9, 3)).cumsum(axis=1) * 0.3


@pytest.fixture
def squared_error(classifier, clips):
    """The mean squared error against the float network, which has none."""
    wanted = classifier(torch.tensor(clips, dtype=torch.float32)).detach().numpy()

    def evaluate(model):
        return float(np.mean((model(clips) - wanted) ** 2))

    return evaluate


def quiet(_):
    pass


def test_paths_are_skipped_until_the_loss_is_within_the_bound(classifier, clips, squared_error):
    narrow = dl.quantize(classifier, clips, dl.Recipe("int4", "int3"))
    bound = squared_error(narrow) / 2
    recipe = dl.Recipe("int4", "int3", max_loss=bound)
    model = dl.quantize(classifier, clips, recipe, evaluate=squared_error, progress=quiet)
    assert 0 < squared_error(model) <= bound + 1e-9
    skipped = model.skipping.skipped
    assert skipped
    summary = model.summary()
    assert summary["recipe"]["paths"] == {
        path.part.path: {"activations": "int16"} for path in skipped
    }
    assert summary["skipping"]["skipped"][0]["path"] == skipped[0].part.path
    for path in skipped:
        layer, operand = path.part.path.rsplit(".", 1)
        (found,) = [found for found in summary["layers"] if found["name"] == layer]
        assert found["operands"][operand].startswith("s16.")
    again = dl.quantize(classifier, clips, model.recipe)
    np.testing.assert_array_equal(again.integer(clips), model.integer(clips))


def test_a_loaded_model_shows_its_operands_alone(classifier, clips, tmp_path):
    model = dl.quantize(classifier, clips, dl.Recipe("int4", "int5"))
    model.save(tmp_path / "m.safetensors")
    loaded = dl.load(tmp_path / "m.safetensors").summary()
    assert model.summary()["recipe"] == {"weights": "int4", "activations": "int5"}
    assert loaded["recipe"] is loaded["skipping"] is None
    assert loaded["layers"] == model.summary()["layers"]


def test_a_bound_and_a_loss_need_each_other(classifier, clips, squared_error):
    with pytest.raises(dl.DeltaloomError) as error:
        dl.quantize(classifier, clips, dl.Recipe(max_loss=0.1))
    assert str(error.value) == (
        "Recipe max_loss must come with evaluate, a function that gives a model's loss"
    )
    for recipe in (None, dl.Recipe()):
        with pytest.raises(dl.DeltaloomError) as error:
            dl.quantize(classifier, clips, recipe, evaluate=squared_error)
        assert str(error.value) == (
            "Evaluate must come with a recipe that has a max_loss, which is what it is for"
        )


def test_training_in_integers_has_no_bound(classifier, clips):
    with pytest.raises(dl.DeltaloomError) as error:
        dl.prepare(classifier, dl.Recipe(max_loss=0.1), clips)
    assert str(error.value) == (
        "Recipe max_loss must be left out where no loss is evaluated: quantizing a float network "
        "with evaluate finds the paths that it needs"
    )


def test_what_is_no_recipe(classifier, clips):
    with pytest.raises(TypeError, match=r"^Recipe must be a deltaloom.Recipe, not dict$"):
        dl.quantize(classifier, clips, {"weights": "int4"})
    with pytest.raises(TypeError, match=r"^Recipe must be a deltaloom.Recipe, not str$"):
        dl.sensitivity(classifier, clips, "int4")


def test_a_frozen_model_has_its_own_recipe(classifier, clips, squared_error):
    recipe = dl.Recipe("int4", "int6")
    prepared = dl.prepare(classifier, recipe, clips)
    assert dl.quantize(prepared).recipe == recipe
    with pytest.raises(dl.DeltaloomError, match="must be quantized without calibration, recipe"):
        dl.quantize(prepared, evaluate=squared_error)
    with pytest.raises(dl.DeltaloomError, match=r"^Model must be in float; one that was prepared"):
        dl.sensitivity(prepared, clips)


def test_sensitivity(classifier, clips, squared_error):
    found = dl.sensitivity(
        classifier, clips, dl.Recipe("int4", "int3"), squared_error, progress=quiet
    )
    assert {row.part.path for row in found.rows} == {"rnn.0.x", "rnn.0.h", "head.x"}
    assert found.float_loss < 1e-12 < found.wide_loss < found.recipe_loss
    losses = [row.loss for row in found.rows]
    assert losses == sorted(losses, reverse=True)
    without = dl.sensitivity(classifier, clips, dl.Recipe("int4", "int3"), progress=quiet)
    assert {row.part: row.error for row in without.rows} == {
        row.part: row.error for row in found.rows
    }
    assert without.float_loss is None
