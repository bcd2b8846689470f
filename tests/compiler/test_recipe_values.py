import pytest

from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe


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
        ({"skip": "some"}, "Recipe skip must be one of none, zero, delta, top_k, not 'some'"),
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
        ({"output": 17}, "Recipe output must be an integer from 2 to 16, or 32, not 17"),
        (
            {"state_limits": {"l.c": 0}},
            "Recipe state_limits 'l.c' must be a number from 2**-30 to 2**30, not 0",
        ),
        (
            {"operand_limits": {"l.x": True}},
            "Recipe operand_limits 'l.x' must be a number from 2**-30 to 2**30, not True",
        ),
        (
            {"operand_limits": "l.x"},
            "Recipe operand_limits must be a mapping of pattern to magnitude, not 'l.x'",
        ),
        (
            {"state_limits": 64},
            "Recipe state_limits must be a mapping of pattern to magnitude, not 64",
        ),
        ({"scale": 2}, "Recipe scale must be one of power-of-two, real, not 2"),
        (
            {"rounding": "up"},
            "Recipe rounding must be one of nearest, stochastic, compensated, not 'up'",
        ),
        ({"seed": -1}, "Recipe seed must be an integer from 0 to 2**32 - 1, not -1"),
        ({"seed": True}, "Recipe seed must be an integer from 0 to 2**32 - 1, not True"),
        ({"tables": "exact"}, "Recipe tables must be one of uniform, adaptive, not 'exact'"),
        ({"knots": "few"}, "Recipe knots must be one of largest, squares, not 'few'"),
        (
            {"knots": "squares"},
            "Recipe knots must be 'largest' with tables 'uniform', which have no knots to choose; "
            "'squares' needs tables 'adaptive'",
        ),
        ({"segments": 0}, "Recipe segments must be a positive integer, not 0"),
        (
            {"segments": 4, "activation_error": 2},
            "Recipe must give either segments or activation_error, not both",
        ),
        (
            {"seed": 3},
            "Recipe seed must be 0 with rounding 'nearest'; seeds need rounding 'stochastic'",
        ),
        (
            {"seed": 3, "rounding": "compensated"},
            "Recipe seed must be 0 with rounding 'compensated'; seeds need rounding 'stochastic'",
        ),
        (
            {"weights": ["int8"]},
            "Recipe weights must be one of int2 to int16, binary, ternary, "
            "quaternary, shift2, shift3, shift4, not ['int8']",
        ),
        ({"skip": ["delta"]}, "Recipe skip must be one of none, zero, delta, top_k, not ['delta']"),
        ({"elementwise": True}, "Recipe elementwise must be an integer from 4 to 16, not True"),
        ({"max_loss": -0.1}, "Recipe max_loss must be a number from 0 up, not -0.1"),
        ({"max_loss": float("nan")}, "Recipe max_loss must be a number from 0 up, not nan"),
        ({"max_loss": float("inf")}, "Recipe max_loss must be a number from 0 up, not inf"),
        ({"max_loss": "0.3"}, "Recipe max_loss must be a number from 0 up, not '0.3'"),
        ({"max_loss": True}, "Recipe max_loss must be a number from 0 up, not True"),
        ({"paths": {0: {"weights": "int4"}}}, "Recipe paths must name patterns in strings, not 0"),
        ({"state_limits": {0: 4}}, "Recipe state_limits must name patterns in strings, not 0"),
        (
            {"theta": {0: {"x": 1}}, "skip": "delta"},
            "Recipe theta must name layers in strings, not 0",
        ),
        (
            {"theta": {"rnn.0": {0: 1}}, "skip": "delta"},
            "Recipe theta of layer rnn.0 must name operands in strings, not 0",
        ),
        ({"theta": [1], "skip": "delta"}, "Recipe theta must be a non-negative integer, not [1]"),
        (
            {"skip": "top_k"},
            "Recipe k must be given with skip 'top_k': elements of a vector that are multiplied",
        ),
        ({"k": 3}, "Recipe k must be left out with skip 'none'; it needs skip 'top_k'"),
        ({"skip": "top_k", "k": 0}, "Recipe k must be an integer from 1 to 64, not 0"),
        (
            {"skip": "top_k", "k": {"gru.0": {"h": 65}}},
            "Recipe k of gru.0.h must be an integer from 1 to 64, not 65",
        ),
        (
            {"skip": "top_k", "k": {"gru.0": 3}},
            "Recipe k of layer gru.0 must be a mapping of operand to number, not 3",
        ),
        (
            {"skip": "top_k", "k": 3, "theta": 2},
            "Recipe theta must be 0 with skip 'top_k'; thresholds need skip 'delta'",
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


def test_top_k_has_a_number_of_elements():
    assert Recipe(skip="top_k", k=3).kept_of("gru.0", "h", 2) == 2
    recipe = Recipe(skip="top_k", k={"gru.0": {"h": 5}})
    assert recipe.kept_of("gru.0", "h", 9) == 5
    assert recipe.kept_of("gru.0", "x", 9) == 9
    assert recipe.kept_of("head", "x", 4) == 4
