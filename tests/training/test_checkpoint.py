import copy
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import deltaloom as dl


def test_checkpoints_hold_tensors_and_all_that_is_needed(classifier, sequences, moved, tmp_path):
    torch.manual_seed(0)
    recipe = dl.Recipe(weights="int4", skip="delta", theta={"rnn.0": {"h": 2}})
    x = sequences(4, 9, 3)
    prepared = moved(dl.prepare(classifier(), recipe, x))
    prepared(torch.from_numpy(x))
    safetensors.torch.save_file(prepared.state_dict(), tmp_path / "checkpoint.safetensors")

    other = dl.prepare(classifier(), recipe, 3 * sequences(4, 9, 3, seed=1))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "checkpoint.safetensors"))
    for again in (other, copy.deepcopy(prepared)):
        np.testing.assert_array_equal(dl.quantize(again)(x), dl.quantize(prepared)(x))
        np.testing.assert_array_equal(again(torch.from_numpy(x)).detach(), dl.quantize(again)(x))


def test_checkpoints_bring_their_thresholds(classifier, sequences):
    torch.manual_seed(0)
    model, recipe, x = classifier(), dl.Recipe(skip="delta"), sequences(4, 9, 3)
    prepared, other = (dl.prepare(model, recipe, x) for _ in range(2))
    prepared.set_thresholds({"rnn.0": {"h": 40}, "rnn.1": {"x": 30}})
    assert (dl.quantize(prepared)(x) != dl.quantize(other)(x)).any()
    other.load_state_dict(prepared.state_dict())
    assert other.recipe == prepared.recipe
    np.testing.assert_array_equal(dl.quantize(prepared)(x), dl.quantize(other)(x))


def test_refuses_thresholds_of_other_layers(sequences):
    x = sequences(4, 9, 3)
    recipe = dl.Recipe(skip="delta")
    state = dl.prepare(nn.GRU(3, 6), recipe, x).state_dict()
    text = json.loads(bytes(state["_extra_state"].tolist()))
    text["recipe"]["theta"] = {"gru.0": {"y": 3}}
    state["_extra_state"] = torch.tensor(list(json.dumps(text).encode()), dtype=torch.uint8)
    with pytest.raises(dl.DeltaloomError, match="must name its operands, which are h, x, not 'y'"):
        dl.prepare(nn.GRU(3, 6), recipe, x).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": "int5"}, "the recipe of the module that takes it; they differ in weights"),
        ({}, "for the layers of the module that takes it"),
        (None, "must hold the recipe and the formats of a prepared module"),
    ],
)
def test_refuses_other_checkpoints(sequences, change, sentence):
    x = sequences(4, 9, 3)
    state = dl.prepare(nn.GRU(3, 6, num_layers=2), None, x).state_dict()
    other = nn.GRU(3, 6, num_layers=2) if change else nn.GRU(3, 6)
    taker = dl.prepare(other, dl.Recipe(**change) if change else None, x)
    if change is None:
        text = json.loads(bytes(state["_extra_state"].tolist()))
        text["formats"][0][4] = 10_000
        state["_extra_state"] = torch.tensor(list(json.dumps(text).encode()), dtype=torch.uint8)
    with pytest.raises(dl.DeltaloomError, match=sentence):
        taker.load_state_dict(state, strict=False)
