"""Random attention between random networks: both models and the hardware are equal."""

import pytest
from hypothesis import reject
from hypothesis import strategies as st

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import LastStep, Sum
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.target import Target

SIZES = st.integers(1, 9)
WIDTHS = st.integers(2, 16)
NAMES = ("att.q", "att.k", "att.v", "att.p")


@st.composite
def runs(draw):
    form = draw(st.sampled_from(["dot", "additive"]))
    steps, values = draw(st.integers(1, 11)), draw(SIZES)
    names = [*NAMES, *(["att.t"] if form == "additive" else [])]
    paths = {name: {"activations": f"int{draw(WIDTHS)}"} for name in names}
    if form == "additive":
        paths["att.score.t"] = {"weights": f"int{draw(WIDTHS)}"}
    options = {}
    if form == "dot":
        options["scale"] = draw(st.none() | st.floats(2.0**-6, 2.0**6))
    return {
        "form": form,
        "causal": draw(st.booleans()),
        "options": options,
        "inputs": draw(st.integers(1, 4)),
        "size": draw(SIZES),
        "values": values,
        "max_steps": steps,
        "after": draw(st.sampled_from(["nothing", "head", "residual", "rnn", "last"])),
        "recipe": {
            "skip": draw(st.sampled_from(["none", "zero", "delta"])),
            "elementwise": draw(st.integers(8, 16)),
            "clip": draw(st.sampled_from(["mse", "minmax"])),
            "paths": paths,
        },
        "lanes": draw(st.integers(1, 14)),
        "lengths": draw(st.lists(st.integers(1, steps), min_size=1, max_size=5)),
        "stall": draw(st.sampled_from([0.0, 0.2, 0.6])),
        "target": Target(draw(st.booleans()), draw(st.booleans())),
        "seed": draw(st.integers(0, 1 << 20)),
    }


@pytest.fixture(scope="session")
def case_of(attention_network, random_layer, make_run):
    def case_of(run):
        size = run["values"]
        after = {
            "nothing": (),
            "head": (random_layer("head", Linear(size, 3)),),
            "residual": (Sum("sum", sources=("att", "v")),),
            "rnn": (random_layer("rnn", GRU(size, 3)),),
            "last": (LastStep("last"), random_layer("head", Linear(size, 2))),
        }
        try:
            network = attention_network(
                run["form"],
                run["causal"],
                inputs=run["inputs"],
                size=run["size"],
                values=size,
                max_steps=run["max_steps"],
                more=after[run["after"]],
                recipe=Recipe(**run["recipe"]),
                seed=run["seed"],
                **run["options"],
            )
        except DeltaloomError:  # energies of two bits that all round to zero, ...
            reject()
        lanes = {layer.name: 3 for layer in network.multiplying} | {"att": run["lanes"]}
        options = {name: run[name] for name in ("lengths", "stall", "target", "seed")}
        return make_run(network, lanes, **options)

    return case_of


def test_random_attention(fuzz, case_of):
    fuzz(runs(), case_of, 3, shrink=False)


@pytest.mark.slow
def test_much_random_attention(fuzz, case_of):
    fuzz(runs(), case_of, 200)


@pytest.mark.slow
def test_random_attention_in_compiled_simulators(fuzz, case_of, compiled):
    fuzz(runs(), case_of, 5, shrink=False, simulator=compiled)
