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
def test_examples(capsys):
    text = README.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    first, second = (block for block in blocks if "dl.quantize(" in block)
    printed = re.search(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(first, "README.md", "exec"), names)
    assert capsys.readouterr().out == printed[1]
    exec(compile(second, "README.md", "exec"), names)
    assert names["run"].outputs.shape == (4, 9, 5)
