"""The README's example runs and prints what stands there; its tables are those of the bench."""

import re
from pathlib import Path

import pytest

from deltaloom.bench.__main__ import show

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_goals_are_those_of_the_results():
    assert show(goals=True) in README.read_text()


def test_results_are_all_that_was_measured():
    assert (ROOT / "bench" / "RESULTS.md").read_text().endswith(f"\n{show()}\n")


@pytest.mark.slow
def test_example(capsys):
    text = README.read_text()
    code = re.search(r"```python\n(import numpy.*?)```", text, re.DOTALL)
    printed = re.search(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)
    exec(compile(code[1], "README.md", "exec"), {})
    assert capsys.readouterr().out == printed[1]
