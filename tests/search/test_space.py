import pytest

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe
from deltaloom.search.space import Choice, dimensions, ladder, recipe_of, thresholds_of

DELTA = Recipe(skip="delta", theta={"l.0": {"h": 3}})


@pytest.fixture
def network(integer_network):
    return integer_network(GRU(2, 3), Linear(3, 2), recipe=DELTA)


def test_ladders_follow_the_width():
    assert ladder(8)[:8] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert ladder(8)[-1] == 64
    assert ladder(4) == [2, 3, 4, 5, 6, 7, 8]
    assert ladder(2) == [2]
    assert ladder(16) == [256 * theta for theta in ladder(8)]


def test_each_operand_starts_as_the_recipe_has_it(network):
    found = dimensions(network)
    assert [each.name for each in found] == ["l.0.x", "l.0.h", "l.1.x"]
    assert [each.ladders[0][0] for each in found] == [Choice(0), Choice(3), Choice(0)]
    assert [choice.theta for choice in found[1].ladders[0]] == [3, *range(4, 9), *ladder(8)[7:]]


def test_given_candidates(network):
    found = dimensions(network, {"*": [2, 5], "l.0.*": [9, 4, 4]}, {"l.1.x": ["int16"]})
    assert [c.theta for c in found[0].ladders[0]] == [0, 4, 9]
    assert [c.theta for c in found[2].ladders[0]] == [0, 2, 5]
    assert found[2].ladders[1][:2] == (Choice(0, "int16", "int16"), Choice(512, "int16", "int16"))


def test_recipe_of_a_choice(network, float_network):
    found = dimensions(network, {"*": [5]}, {"l.0.h": [("int4", "int6")]})
    places = ((0, 1), (1, 0), (0, 0))
    assert thresholds_of(found, places) == {"l.0": {"x": 5, "h": 0}, "l.1": {"x": 0}}
    recipe = recipe_of(DELTA, float_network(GRU(2, 3), Linear(3, 2)), found, places)
    assert recipe.theta_of("l.0", "x") == 5
    assert recipe.activation_bits("l.0", "h") == 6
    assert recipe.activation_bits("l.0", "x") == 8
    assert str(recipe.weight_encoding("l.0", "r.h")) == "int4"
    assert str(recipe.weight_encoding("l.0", "r.x")) == "int8"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"thresholds": {"gru.x": [1]}},
            "Pattern 'gru.x' of thresholds must match operands of layers that skip by deltas, "
            "which are l.0.x, l.0.h, l.1.x",
        ),
        ({"thresholds": {"*": [-1]}}, "Thresholds of l.0.x must be non-negative integers, not -1"),
        (
            {"thresholds": {"l.0.h": [256]}},
            "Thresholds of l.0.h must be below 256, the range of its 8-bit values, not 256",
        ),
        (
            {"widths": {"l.1.x": ["int99"]}},
            "Widths of l.1.x are unusable: Recipe activations must be one of int2 to int16, "
            "not 'int99'",
        ),
    ],
)
def test_refuses_what_is_not_there(network, options, sentence):
    with pytest.raises(DeltaloomError) as error:
        dimensions(network, **options)
    assert str(error.value) == sentence


def test_refuses_a_network_that_does_not_skip(integer_network):
    with pytest.raises(DeltaloomError, match="^Model must skip by deltas for a search"):
        dimensions(integer_network(GRU(2, 3)))
