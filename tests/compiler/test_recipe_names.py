import pytest

from deltaloom.compiler.cells import GRU, LSTM
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import Network
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.recipe_names import check_recipe
from deltaloom.compiler.streams import ArgMax


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"paths": {"rnn.2.*": {"weights": "int4"}}},
            "Recipe paths 'rnn.2.*' must match weights of the network, which are rnn.0.r.x, "
            "rnn.0.z.x, rnn.0.n_x.x, rnn.0.r.h, rnn.0.z.h, rnn.0.n_h.h",
        ),
        (
            {"paths": {"rnn.0.r.h": {"activations": "int4"}}},
            "Recipe paths 'rnn.0.r.h' must match activations of the network, which are rnn.0.h, "
            "rnn.0.x",
        ),
        (
            {"paths": {"rnn.0.*.h": {"weights": "int16"}, "*": {"weights": "int4"}}},
            "Recipe paths 'rnn.0.*.h' must come after '*' to have an effect on weights: later "
            "patterns override it in all that it matches",
        ),
        (
            {"state_limits": {"rnn.0.h": 2.0, "rnn.*": 4.0}},
            "Recipe state_limits 'rnn.0.h' must come after 'rnn.*' to have an effect: later "
            "patterns override it in all that it matches",
        ),
        (
            {"state_limits": {"rnn.0.c": 2.0}},
            "Recipe state_limits 'rnn.0.c' must match states of the network that are not "
            "multiplied alone, which are rnn.0.h",
        ),
        (
            {"operand_limits": {"rnn.0.c": 2.0}},
            "Recipe operand_limits 'rnn.0.c' must match operands of the network's cells, which "
            "are rnn.0.h, rnn.0.x",
        ),
        (
            {"operand_limits": {"rnn.0.h": 2.0, "*": 4.0}},
            "Recipe operand_limits 'rnn.0.h' must come after '*' to have an effect: later "
            "patterns override it in all that it matches",
        ),
        (
            {"skip": "top_k", "k": {"rnn.1": {"x": 1}}},
            "Recipe k must name layers of the network, which are rnn.0, not 'rnn.1'",
        ),
        (
            {"skip": "top_k", "k": {"rnn.0": {"h": 4}}},
            "Recipe k of rnn.0.h must be at most 3, its elements, not 4",
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


def test_accepts_patterns_that_others_override_in_part_or_not_in_value(make_network):
    network = make_network(GRU(2, 3), GRU(3, 5))
    paths = {
        "rnn.0.*": {"weights": "int4", "activations": "int3"},
        "rnn.*.h": {"weights": "int9"},
        "rnn.0.h": {"activations": "int3"},
        "rnn.0.x": {"activations": "int3"},
    }
    check_recipe(Recipe(paths=paths), network)


def test_refuses_a_width_for_an_index(make_network):
    network = Network((*make_network(GRU(2, 3)).layers, ArgMax("label")))
    check_recipe(Recipe(), network)
    with pytest.raises(DeltaloomError) as error:
        check_recipe(Recipe(output=8), network)
    assert str(error.value) == (
        "Recipe output must be left out: the last layer, label, gives an index, which has as many "
        "bits as it needs"
    )
