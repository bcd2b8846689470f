import numpy as np
import pytest

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe
from deltaloom.model import QuantizedModel
from deltaloom.search.skipping import skip_paths
from deltaloom.search.trials import Trials

COSTS = {"l.0.x activations": 1, "l.0.h activations": 4, "l.1.x activations": 2, "l.0.h weights": 8}


def narrow(network):
    """Parts of an integer network with less than 16 bits."""
    for layer in network.computing:
        for operand in layer.operands:
            if operand.format.width < 16:
                yield f"{layer.name}.{operand.name} activations"
            keys = [key for key in layer.weights if key.endswith(f".{operand.name}")]
            if any(np.abs(layer.weights[key]).max() < 1 << 8 for key in keys):
                yield f"{layer.name}.{operand.name} weights"


@pytest.fixture
def search(float_network):
    """``search(recipe)``: each narrow part costs so much, 10 is the float network's loss.

    ``rest`` is what quantization costs whatever has 16 bits.
    """
    network = float_network(GRU(3, 4), Linear(4, 2))
    x = np.random.default_rng(5).normal(size=(2, 30, 3))

    def run(recipe, costs=COSTS, say=lambda text: None, rest=0.0):
        run.floats = 0

        def loss(model):
            if not isinstance(model, QuantizedModel):
                run.floats += 1
                return 10.0
            return 10.0 + rest + sum(costs.get(part, 0) for part in narrow(model.network))

        return skip_paths(Trials(network, x, loss, QuantizedModel), recipe, say)

    run.network, run.x = network, x
    return run


def skipped(found):
    return [str(path.part) for path in found.skipped]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (15, []),
        (14, ["l.0.h activations"]),
        (11, ["l.0.h activations"]),
        (10, ["l.0.h activations", "l.1.x activations"]),
        (8, ["l.0.h activations", "l.1.x activations", "l.0.x activations"]),
        (7, ["l.0.h weights"]),  # which is enough by itself
        (0.5, ["l.0.h activations", "l.1.x activations", "l.0.x activations", "l.0.h weights"]),
    ],
)
def test_as_few_as_the_bound_needs(search, bound, expected):
    model, found = search(Recipe("int8", "int8", max_loss=bound))
    assert skipped(found) == expected
    assert found.loss - found.float_loss <= bound
    assert (found.float_loss, found.recipe_loss, found.max_loss) == (10, 25, bound)
    assert search.floats == 1
    wide = set(expected)
    assert not wide & set(narrow(model.network))
    assert model.recipe.max_loss is None
    assert len({attempt.wide for attempt in found.attempts}) == len(found.attempts)
    assert found.attempts[0].wide == ()
    assert (found.sensitivity is None) is (not expected)


def test_the_recipe_gives_the_model_again(search):
    model, _ = search(Recipe("int4", "int5", skip="delta", theta=3, max_loss=9))
    again = Trials(search.network, search.x, None, QuantizedModel).model(model.recipe)
    np.testing.assert_array_equal(again.integer(search.x), model.integer(search.x))
    assert again.summary()["layers"] == model.summary()["layers"]


def test_a_sum_that_rounds_is_within(search):
    costs = {"l.0.h activations": 0.1 + 0.2}
    _, found = search(Recipe(max_loss=0.3), costs)
    assert skipped(found) == []


def test_what_nothing_can_reach(search):
    with pytest.raises(DeltaloomError) as error:
        search(Recipe(max_loss=0.25), rest=0.5)
    assert str(error.value) == (
        "Recipe max_loss must be at least 0.5 for this network and recipe, not 0.25: the least "
        "loss that was reached is 10.5, with l.0.h activations, l.1.x activations, "
        "l.0.x activations, l.0.h weights at 16 bits, where the float network's is 10"
    )


def test_sparsity_that_is_lost(search):
    """Finer vectors repeat less; where nothing is skipped there is nothing to lose."""
    _, found = search(Recipe("int8", "int3", skip="delta", max_loss=11))
    (path,) = found.skipped
    assert path.widths == ("int3",)
    assert path.eliminated_narrow > path.eliminated_wide + 0.1
    _, found = search(Recipe("int8", "int3", max_loss=11))
    assert found.skipped[0].eliminated_narrow is None
    _, found = search(Recipe("int8", "int3", skip="delta", max_loss=7))
    assert found.skipped[0].eliminated_narrow is None  # weights


def test_says_how_far_it_is(search):
    said = []
    search(Recipe(max_loss=10), say=said.append)
    assert said[-2:] == [
        "Skipping, 1 of 6: l.0.h activations at 16 bits too, loss 21",
        "Skipping, 2 of 6: l.1.x activations at 16 bits too, loss 19",
    ]


def test_for_programs(search):
    _, found = search(Recipe("int8", "int8", max_loss=11))
    data = found.to_dict()
    assert data["skipped"] == [
        {
            "path": "l.0.h",
            "what": "activations",
            "widths": ["int8"],
            "eliminated_narrow": None,
            "eliminated_wide": None,
        }
    ]
    assert data["attempts"][:2] == [
        {"wide": [], "loss": 25},
        {"wide": ["l.0.h activations"], "loss": 21},
    ]
