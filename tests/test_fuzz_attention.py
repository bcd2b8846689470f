"""Random attention between random networks: both models and the hardware are equal."""

# amaranth: UnusedElaboratable=no

import pytest
from amaranth.back import rtlil, verilog
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError, ToolMissingError
from deltaloom.compiler.network import LastStep, Sum
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.target import Target
from deltaloom.sim import cxxrtl, icarus, tools, verilator

SIZES = st.integers(1, 9)
WIDTHS = st.integers(2, 16)
SIMULATORS = {"cxxrtl": cxxrtl, "verilator": verilator, "icarus": icarus}
NAMES = ("att.q", "att.k", "att.v", "att.p")


def profile(examples, *, shrink=True):
    return settings(
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


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


@given(run=runs())
@profile(3, shrink=False)
def test_random_attention(case_of, check_run, run):
    check_run(case_of(run))


@pytest.mark.slow
@given(run=runs())
@profile(200)
def test_much_random_attention(case_of, check_run, run):
    check_run(case_of(run))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cxxrtl", "verilator", "icarus"])
def test_random_attention_in_compiled_simulators(case_of, check_run, build_design, name):
    try:
        tools.require(name)
    except ToolMissingError as error:
        pytest.skip(str(error))

    @given(run=runs())
    @profile(5, shrink=False)
    def check(run):
        case = case_of(run)
        convert = rtlil if name == "cxxrtl" else verilog
        design, ports = build_design(case)
        source = convert.convert(design, name="top", emit_src=False)
        check_run(case, SIMULATORS[name].build(source, ports))

    check()
