"""How random networks are run: drawn from a seed, in Amaranth's simulator or in compiled ones."""

# amaranth: UnusedElaboratable=no

import pytest
from amaranth.back import rtlil, verilog
from hypothesis import HealthCheck, Phase, given, settings

from deltaloom.compiler.errors import ToolMissingError
from deltaloom.sim import cxxrtl, icarus, tools, verilator

COMPILED = {"cxxrtl": cxxrtl, "verilator": verilator, "icarus": icarus}


@pytest.fixture(params=COMPILED)
def compiled(request):
    """The name of each compiled simulator that is there."""
    try:
        tools.require(request.param)
    except ToolMissingError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture
def fuzz(check_run, build_design):
    def fuzz(runs, case_of, examples, *, shrink=True, simulator=None):
        """Hold the hardware of random runs to its models; ``case_of`` makes a case of each.

        Shrinking a failure takes minutes; the default set leaves it to the long one.
        """

        @given(run=runs)
        @settings(
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        def check(run):
            case = case_of(run)
            if simulator is None:
                check_run(case)
                return
            convert = rtlil if simulator == "cxxrtl" else verilog
            design, ports = build_design(case)
            source = convert.convert(design, name="top", emit_src=False)
            check_run(case, COMPILED[simulator].build(source, ports))

        check()

    return fuzz
