import pytest

from deltaloom.boards import tools
from deltaloom.boards.tools import digest, run_step, run_tool
from deltaloom.compiler.errors import DeltaloomError, ToolMissingError


def test_step_runs_once(tmp_path):
    runs, seen = [], []

    def action(aside):
        runs.append(aside)
        (aside / "product").write_text("made")

    for key in ("a", "a", "b"):
        run_step("step", tmp_path, key, ["product"], action, lambda *step: seen.append(step))
    assert len(runs) == 2
    assert seen == [
        ("step", False),
        ("step", True),
        ("step", None),
        ("step", False),
        ("step", True),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["product", "step.key"]


def test_lost_product_is_made_again(tmp_path):
    def action(aside):
        (aside / "product").write_text("made")

    run_step("step", tmp_path, "a", ["product"], action)
    (tmp_path / "product").unlink()
    run_step("step", tmp_path, "a", ["product"], action)
    assert (tmp_path / "product").read_text() == "made"


def test_failed_step_is_not_finished(tmp_path):
    def fails(aside):
        (aside / "product").write_text("half")
        raise DeltaloomError("Tool failed")

    with pytest.raises(DeltaloomError, match=r"^Tool failed$"):
        run_step("step", tmp_path, "a", ["product"], fails)
    assert not (tmp_path / "step.key").exists()
    with pytest.raises(DeltaloomError, match=r"^Step step did not make product$"):
        run_step("step", tmp_path, "a", ["product"], lambda aside: None)


def test_digest_counts_lengths():
    assert digest("ab", "c") != digest("a", "bc")


def test_missing_tool(monkeypatch, tmp_path):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ToolMissingError,
        match=r"^Tool nextpnr-ecp5 is not installed: pip install deltaloom\[boards\]$",
    ):
        run_tool("nextpnr-ecp5", [], tmp_path)


def test_tool_error_is_told(tmp_path):
    with pytest.raises(DeltaloomError, match=r"^Tool yosys failed: .*nonsense"):
        run_tool("yosys", ["-p", "nonsense"], tmp_path)
