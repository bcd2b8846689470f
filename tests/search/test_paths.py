import pytest

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.recipe_names import check_recipe
from deltaloom.search.paths import ACTIVATIONS, WEIGHTS, Part, narrow_parts, widened


@pytest.fixture
def network(float_network):
    return float_network(GRU(2, 3), Linear(3, 2))


def test_parts_in_the_order_of_the_network(network):
    recipe = Recipe(
        paths={
            "l.0.x": {"activations": "int16"},
            "l.0.*.h": {"weights": "int16"},
            "l.1.*": {"weights": "ternary"},
        }
    )
    parts = narrow_parts(network, recipe)
    assert list(map(str, parts)) == [
        "l.0.x weights",
        "l.0.h activations",
        "l.1.x activations",
        "l.1.x weights",
    ]
    assert [part.widths(network, recipe) for part in parts] == [
        ["int8"], ["int8"], ["int8"], ["ternary"],
    ]  # fmt: skip


def test_gates_of_different_widths(network):
    recipe = Recipe(paths={"l.0.z.x": {"weights": "binary"}})
    assert Part("l.0.x", WEIGHTS).widths(network, recipe) == ["int8", "binary"]


@pytest.mark.parametrize(
    "paths",
    [
        {},
        {"*": {"weights": "int3", "activations": "int5"}},
        {"l.0.h": {"activations": "int2"}, "l.?.*": {"activations": "int4"}},
        {"l.0.r.h": {"weights": "int2", "scale": "real"}, "*": {"scale": "real"}},
        {"l.0.*.h": {"weights": "ternary"}, "l.0.n_h.h": {"weights": "binary"}},
    ],
)
def test_only_the_named_parts_become_wide(network, paths):
    recipe = Recipe("int4", "int6", paths=paths)
    wide = [Part("l.0.h", ACTIVATIONS), Part("l.0.h", WEIGHTS)]
    found = widened(recipe, network, wide)
    check_recipe(found, network)  # nothing in it has lost its effect
    for part in narrow_parts(network, Recipe()):
        before, after = part.widths(network, recipe), part.widths(network, found)
        assert after == (["int16"] if part in wide else before)
    for key in ("r.x", "r.h", "n_h.h"):
        assert found.scale_kind("l.0", key) == recipe.scale_kind("l.0", key)


def test_wider_one_after_the_other(network):
    recipe = Recipe(paths={"l.0.*": {"activations": "int3"}})
    parts = narrow_parts(network, recipe)
    for place, part in enumerate(parts):
        assert narrow_parts(network, recipe) == parts[place:]
        recipe = widened(recipe, network, [part])
    assert not narrow_parts(network, recipe)
    assert "l.0.*" not in recipe.paths
    assert len(parts) == 6
