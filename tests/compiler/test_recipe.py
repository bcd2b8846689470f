from dataclasses import replace

import numpy as np

from deltaloom.compiler.recipe import Recipe


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


def test_limits_by_pattern_the_later_ones_first():
    limits = {"*": 8, "rnn.0.*": 4.0, "rnn.?.c": 2}
    recipe = Recipe(state_limits=limits, operand_limits={"rnn.*.x": 1, **limits})
    for limit in (recipe.state_limit, recipe.operand_limit):
        assert limit("rnn.0", "c") == limit("rnn.1", "c") == 2
        assert limit("rnn.0", "x") == 4
        assert limit("rnn.1", "x") == 8
    assert Recipe().operand_limit("rnn.0", "x") is None
    assert Recipe(state_limits=limits).operand_limit("rnn.0", "x") is None
    assert Recipe(operand_limits=limits).state_limit("rnn.0", "x") is None


def test_weight_generator():
    recipe = Recipe(weights="binary", rounding="stochastic", seed=3)
    first, again, other, later = (
        seeded.weight_generator("rnn.0", key)
        for seeded, key in [
            (recipe, "r.x"),
            (recipe, "r.x"),
            (recipe, "r.h"),
            (replace(recipe, seed=4), "r.x"),
        ]
    )
    assert Recipe(weights="binary").weight_generator("rnn.0", "r.x") is None
    drawn = first.random(5)
    np.testing.assert_array_equal(again.random(5), drawn)
    assert (other.random(5) != drawn).all()
    assert (later.random(5) != drawn).all()
