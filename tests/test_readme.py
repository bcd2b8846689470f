"""The README's example runs and prints what stands there."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_example(capsys):
    text = README.read_text()
    code = re.search(r"```python\n(import numpy.*?)```", text, re.DOTALL)
    printed = re.search(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)
    exec(compile(code[1], "README.md", "exec"), {})
    assert capsys.readouterr().out == printed[1]
