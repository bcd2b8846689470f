"""Who may import whom. The table is the architecture; the test only reads it."""

# amaranth: UnusedElaboratable=no

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from amaranth.back import rtlil, verilog

from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.recipe import Recipe

ROOT = Path(__file__).parents[1]
PACKAGE = "deltaloom"
MAY_IMPORT = {
    "compiler": {"compiler"},
    "sim": {"compiler", "sim"},
    "hw": {"compiler", "hw"},
    "boards": {"compiler", "hw", "boards"},
    "training": {"compiler", "sim", "training"},
    "search": {"compiler", "sim", "search", "plots"},
    "cli": {"boards", "compiler", "sim", "search", "cli", "plots"}
    | {"explorer", "inspection", "model", "quantization", "searches"},
}
FILES = [path for part in MAY_IMPORT for path in sorted((ROOT / part).rglob("*.py"))]


def imported(path):
    """Yield every module or name that a file imports, as a tuple of names from the package on."""
    here = (PACKAGE, *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split("."))
            module = tuple(name for name in module if name)
            yield from ((*module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)


def file_of(name):
    """The file of our own that an imported name stands for or comes from, if there is one."""
    for length in (len(name), len(name) - 1):
        path = ROOT.joinpath(*name[1:length])
        if length > 1 and path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None


def reached(path, seen=None):
    """Names of all modules that a file needs, directly or through other files of ours."""
    seen = set() if seen is None else seen
    for name in imported(path):
        if name[0] != PACKAGE:
            seen.add(name[0])
        elif (other := file_of(name)) and str(other) not in seen:
            seen.add(str(other))
            reached(other, seen)
    return seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    part = path.relative_to(ROOT).parts[0]
    parts = {name[1] for name in imported(path) if name[0] == PACKAGE and len(name) > 1}
    assert parts <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_within_the_package_are_relative(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        assert not any(name.split(".")[0] == PACKAGE for name in names)


def test_golden_model_knows_no_hardware():
    """How the work is folded cannot change a bit of the result."""
    names = reached(ROOT / "sim" / "golden.py")
    assert not names & {"amaranth", "torch"}
    ours = {str(Path(name).relative_to(ROOT)) for name in names if name.startswith(str(ROOT))}
    assert "compiler/fixed.py" in ours
    assert not any("schedule" in name or name.startswith("hw/") for name in ours)


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("compiler.schedule", {"amaranth", "torch"}),
        ("compiler.artifact", {"amaranth", "torch"}),
        ("sim.cycles", {"amaranth", "torch"}),
        ("hw.accelerator", {"torch"}),
    ],
)
def test_modules_stay_light(name, unwanted):
    assert not reached(ROOT / f"{name.replace('.', '/')}.py") & unwanted


def test_torch_is_imported_only_where_it_is_needed():
    """Loading a model, generating and simulating a design works without it."""
    script = (
        "import sys\n"
        "import deltaloom\n"
        "import deltaloom.design, deltaloom.model, deltaloom.sim.cxxrtl, deltaloom.sim.verilator\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True)


def test_every_package_is_shipped():
    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    found = {
        ".".join((PACKAGE, *init.parent.relative_to(ROOT).parts))
        for part in MAY_IMPORT
        for init in (ROOT / part).rglob("__init__.py")
    }
    assert listed == found | {PACKAGE}


@pytest.mark.parametrize("convert", [rtlil, verilog], ids=["RTLIL", "Verilog"])
def test_the_same_design_is_the_same_text(integer_network, make_run, build_design, convert):
    """Twice, and from models made anew; without paths of the machine that made it."""
    texts = []
    for _ in range(2):
        network = integer_network(GRU(3, 5), "last", Linear(5, 2), recipe=Recipe(skip="delta"))
        design, _ = build_design(make_run(network, 8, lengths=(1,)))
        texts.append(convert.convert(design, name="top", emit_src=False))
    assert texts[0] == texts[1]
    assert str(ROOT) not in texts[0]
    assert "site-packages" not in texts[0]
