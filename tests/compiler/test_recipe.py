from dataclasses import replace

import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, LSTM
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.recipe_names import check_recipe


def test_defaults():
    recipe = Recipe()
    assert (recipe.weights, recipe.activations, recipe.skip) == ("int8", "int8", "none")
    assert (recipe.theta, recipe.clip, recipe.elementwise) == (0, "mse", 16)
    assert [recipe.table_budget(width) for width in (4, 8, 9, 16)] == [1, 1, 2, 2]


def test_reads_toml(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("""
        weights = "int4"
        activations = "int6"
        skip = "delta"
        clip = "minmax"
        elementwise = 12
        activation_error = 1.5
        output = 8
        [theta."rnn.0"]
        x = 3
        [paths."rnn.0.*.h"]
        weights = "int16"
        scale = "power-of-two"
        [paths."rnn.0.x"]
        activations = "int5"
        [paths."rnn.0.r.x"]
        weights = "ternary"
    """)
    recipe = Recipe.load(path)
    assert recipe == Recipe(
        weights="int4",
        activations="int6",
        skip="delta",
        theta={"rnn.0": {"x": 3}},
        clip="minmax",
        paths={
            "rnn.0.*.h": {"weights": "int16", "scale": "power-of-two"},
            "rnn.0.x": {"activations": "int5"},
            "rnn.0.r.x": {"weights": "ternary"},
        },
        elementwise=12,
        activation_error=1.5,
        output=8,
    )
    assert recipe.table_budget(12) == 1.5


def test_overrides_by_pattern_and_the_last_one_counts():
    recipe = Recipe(
        weights="int4",
        paths={
            "*.h": {"weights": "int8", "activations": "int7"},
            "rnn.1.r.*": {"weights": "int16"},
        },
    )
    assert str(recipe.weight_encoding("rnn.0", "r.x")) == "int4"
    assert str(recipe.weight_encoding("rnn.0", "r.h")) == "int8"
    assert str(recipe.weight_encoding("rnn.1", "r.h")) == "int16"
    assert str(recipe.weight_encoding("rnn.1", "z.h")) == "int8"
    assert recipe.activation_bits("rnn.1", "h") == 7
    assert recipe.activation_bits("rnn.1", "x") == 8


def test_threshold_of_each_operand():
    assert Recipe(skip="delta", theta=5).theta_of("rnn.0", "x") == 5
    recipe = Recipe(skip="delta", theta={"rnn.0": {"x": 3}})
    assert recipe.theta_of("rnn.0", "x") == 3
    assert recipe.theta_of("rnn.0", "h") == 0
    assert recipe.theta_of("rnn.1", "x") == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"weights": "int17"},
            "Recipe weights must be one of int2 to int16, binary, ternary, quaternary, shift2, "
            "shift3, shift4, not 'int17'",
        ),
        (
            {"weights": 8},
            "Recipe weights must be one of int2 to int16, binary, ternary, quaternary, shift2, "
            "shift3, shift4, not 8",
        ),
        ({"activations": "int1"}, "Recipe activations must be one of int2 to int16, not 'int1'"),
        (
            {"activations": "binary"},
            "Recipe activations must be one of int2 to int16, not 'binary'",
        ),
        ({"skip": "some"}, "Recipe skip must be one of none, zero, delta, not 'some'"),
        ({"clip": "kl"}, "Recipe clip must be one of minmax, mse, not 'kl'"),
        (
            {"theta": 1},
            "Recipe theta must be 0 with skip 'none'; thresholds need skip 'delta'",
        ),
        (
            {"theta": {"rnn.0": {"x": 2}}, "skip": "zero"},
            "Recipe theta must be 0 with skip 'zero'; thresholds need skip 'delta'",
        ),
        (
            {"theta": -1, "skip": "delta"},
            "Recipe theta must be a non-negative integer, not -1",
        ),
        (
            {"theta": 1.5, "skip": "delta"},
            "Recipe theta must be a non-negative integer, not 1.5",
        ),
        (
            {"theta": True, "skip": "delta"},
            "Recipe theta must be a non-negative integer, not True",
        ),
        (
            {"theta": {"rnn.0": 3}, "skip": "delta"},
            "Recipe theta of layer rnn.0 must be a mapping of operand to threshold, not 3",
        ),
        (
            {"theta": {"rnn.0": {"x": "3"}}, "skip": "delta"},
            "Recipe theta of rnn.0.x must be a non-negative integer, not '3'",
        ),
        (
            {"paths": {"a.b": {"width": 3}}},
            "Recipe paths 'a.b' must override weights, activations, scale, not 'width'",
        ),
        (
            {"paths": {"a.b": {}}},
            "Recipe paths 'a.b' must be a mapping with some of weights, activations, scale, not {}",
        ),
        (
            {"paths": ["a.b"]},
            "Recipe paths must be a mapping of pattern to overrides, not ['a.b']",
        ),
        (
            {"paths": {"a.b": {"weights": "int99"}}},
            "Recipe paths 'a.b' weights must be one of int2 to int16, binary, ternary, "
            "quaternary, shift2, shift3, shift4, not 'int99'",
        ),
        (
            {"paths": {"a.b": {"scale": "row"}}},
            "Recipe paths 'a.b' scale must be one of power-of-two, real, not 'row'",
        ),
        ({"elementwise": 3}, "Recipe elementwise must be an integer from 4 to 16, not 3"),
        ({"elementwise": "16"}, "Recipe elementwise must be an integer from 4 to 16, not '16'"),
        ({"output": 17}, "Recipe output must be an integer from 2 to 16, not 17"),
        (
            {"state_limits": {"l.c": 0}},
            "Recipe state_limits 'l.c' must be a number from 2**-30 to 2**30, not 0",
        ),
        (
            {"state_limits": 64},
            "Recipe state_limits must be a mapping of pattern to magnitude, not 64",
        ),
        ({"scale": 2}, "Recipe scale must be one of power-of-two, real, not 2"),
        ({"rounding": "up"}, "Recipe rounding must be one of nearest, stochastic, not 'up'"),
        ({"seed": -1}, "Recipe seed must be an integer from 0 to 2**32 - 1, not -1"),
        ({"seed": True}, "Recipe seed must be an integer from 0 to 2**32 - 1, not True"),
        ({"tables": "exact"}, "Recipe tables must be one of uniform, adaptive, not 'exact'"),
        ({"segments": 0}, "Recipe segments must be a positive integer, not 0"),
        (
            {"segments": 4, "activation_error": 2},
            "Recipe must give either segments or activation_error, not both",
        ),
        ({"activation_error": 0}, "Recipe activation_error must be a number from 1 to 1024, not 0"),
        (
            {"activation_error": float("nan")},
            "Recipe activation_error must be a number from 1 to 1024, not nan",
        ),
    ],
)
def test_refuses(options, sentence):
    with pytest.raises(DeltaloomError) as error:
        Recipe(**options)
    assert str(error.value) == sentence


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_weight_generator(rounding):
    recipe = Recipe(weights="binary", rounding=rounding, seed=3)
    first, again, other, later = (
        seeded.weight_generator("rnn.0", key)
        for seeded, key in [
            (recipe, "r.x"),
            (recipe, "r.x"),
            (recipe, "r.h"),
            (replace(recipe, seed=4), "r.x"),
        ]
    )
    if rounding == "nearest":
        assert first is None
        return
    drawn = first.random(5)
    np.testing.assert_array_equal(again.random(5), drawn)
    assert (other.random(5) != drawn).all()
    assert (later.random(5) != drawn).all()


def test_top_k_is_to_come():
    with pytest.raises(UnsupportedError) as error:
        Recipe(skip="top_k")
    assert str(error.value) == (
        "Recipe skip 'top_k' is not supported yet; supported are none, zero, delta"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"weight = 'int8'",
            "Recipe {} must have keys of weights, activations, skip, theta, clip, paths, "
            "state_limits, elementwise, activation_error, tables, segments, output, scale, "
            "rounding, seed, not 'weight'",
        ),
        (b"weights = ", "Recipe {} must be valid TOML: Invalid value (at end of document)"),
        (b"skip = 'some'", "Recipe skip must be one of none, zero, delta, not 'some'"),
        (None, "Recipe {} must be a readable file: No such file or directory"),
    ],
)
def test_refuses_files(tmp_path, content, sentence):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeltaloomError) as error:
        Recipe.load(path)
    assert str(error.value) == sentence.format(path)


def test_refuses_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DeltaloomError, match="must be valid TOML"):
        Recipe.load(path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"paths": {"rnn.2.*": {"weights": "int4"}}},
            "Recipe paths 'rnn.2.*' must match weights of the network, which are rnn.0.r.x, "
            "rnn.0.r.h, rnn.0.z.x, rnn.0.z.h, rnn.0.n_x.x, rnn.0.n_h.h",
        ),
        (
            {"paths": {"rnn.0.r.h": {"activations": "int4"}}},
            "Recipe paths 'rnn.0.r.h' must match activations of the network, which are rnn.0.h, "
            "rnn.0.x",
        ),
        (
            {"theta": {"rnn.1": {"x": 0}}},
            "Recipe theta must name layers of the network, which are rnn.0, not 'rnn.1'",
        ),
        (
            {"theta": {"rnn.0": {"c": 0}}},
            "Recipe theta of layer rnn.0 must name its operands, which are h, x, not 'c'",
        ),
        (
            {"theta": 16, "skip": "delta", "activations": "int4"},
            "Recipe theta of rnn.0.h must be below 16, the range of its 4-bit activation, "
            "not 16: no difference would reach it",
        ),
    ],
)
def test_refuses_names_that_the_network_lacks(make_network, options, sentence):
    with pytest.raises(DeltaloomError) as error:
        check_recipe(Recipe(**options), make_network(GRU(2, 3)))
    assert str(error.value) == sentence


def test_accepts_names_that_the_network_has(make_network):
    network = make_network(LSTM(2, 3), GRU(3, 5))
    paths = {
        "rnn.?.*": {"weights": "int4", "activations": "int3"},
        "rnn.1.n_h.h": {"weights": "int9"},
    }
    check_recipe(Recipe(paths=paths, skip="delta", theta={"rnn.1": {"h": 7}}), network)
