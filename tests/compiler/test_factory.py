import re

import pytest
from torch import nn

from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.factory import load_factory

SOURCE = """
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    inputs: int = 3

def good():
    return nn.Linear(Sizes().inputs, 2)

def bad():
    raise KeyError("weights")

def needs(size):
    return nn.Linear(size, 2)

def wrong():
    return 5

ready = nn.Linear(4, 2)
number = 5
"""


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "my model.py"
    found.write_text(SOURCE)
    return found


def test_loads(path):
    assert isinstance(load_factory(f"{path}:good"), nn.Linear)
    assert load_factory(f"{path}:ready").in_features == 4


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "Model file {} has no factory missing"),
        ("number", "Factory number of {} must be a function, not int"),
        ("bad", "Factory bad of {} failed: KeyError: 'weights'"),
        (
            "needs",
            "Factory needs of {} failed: TypeError: needs() missing 1 required positional "
            "argument: 'size'",
        ),
        ("wrong", "Factory wrong of {} must return a torch.nn.Module, not int"),
    ],
)
def test_bad_factories(path, name, sentence):
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence.format(path))}$"):
        load_factory(f"{path}:{name}")


@pytest.mark.parametrize("place", ["model.py", "model:factory", "model.py:", "model.py:a b", ""])
def test_bad_names(place):
    sentence = f"Model must be named as file.py:factory, not {place!r}"
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence)}$"):
        load_factory(place)


def test_missing_file(tmp_path):
    sentence = f"Model file {tmp_path / 'no.py'} does not exist"
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence)}$"):
        load_factory(f"{tmp_path / 'no.py'}:factory")


def test_file_that_fails(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import surely_not_installed\n")
    sentence = (
        f"Model file {path} cannot be run: ModuleNotFoundError: "
        f"No module named 'surely_not_installed'"
    )
    with pytest.raises(DeltaloomError, match=f"^{re.escape(sentence)}$"):
        load_factory(f"{path}:factory")
