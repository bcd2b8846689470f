import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from deltaloom.compiler.errors import DeltaloomError, ToolMissingError
from deltaloom.plots import Bars, HeatMap, Lines, Series, draw

LINES = Lines(
    "Front",
    "operations",
    "error",
    [Series("all", [1, 2, 4], [3, np.nan, 1], line=False, names="abc"), Series("front", [1], [3])],
    log_x=True,
    log_y=True,
)
BARS = Bars("Noise", "dB", "edge", {"gru.0.h": 40.5, "gru.0.x": 12.25}, marked=["gru.0.x"])
MAP = HeatMap(
    "Loss", "activations", "weights", np.array([[1.5, np.nan, 2], [0, -1, 7]]), [8, 4], [2, 3, 4]
)


@pytest.fixture(scope="module", autouse=True)
def _matplotlib():
    pytest.importorskip("matplotlib")


def texts(path):
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_every_text_is_drawn(tmp_path):
    path = draw(tmp_path / "new" / "all.svg", LINES, BARS, MAP)
    shown = texts(path)
    for text in ("Front", "operations", "error", "all", "front", "a", "c"):
        assert text in shown
    for text in ("Noise", "dB", "edge", "gru.0.h", "gru.0.x", "40.5", "12.2"):
        assert text in shown
    for text in ("Loss", "activations", "weights", "1.5", "7", "-1"):
        assert text in shown
    assert "nan" not in shown
    assert [p.name for p in path.parent.iterdir()] == ["all.svg"]


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_picture_is_the_same_bytes(tmp_path, kind):
    first, second = (draw(tmp_path / f"{name}.{kind}", LINES, MAP) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 1000


def test_a_map_has_a_value_for_each_row_and_column(tmp_path):
    wrong = HeatMap("t", "x", "y", np.zeros((2, 2)), [1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"Values must have shape \(3, 2\), not \(2, 2\)"):
        draw(tmp_path / "map.svg", wrong)
    assert not list(tmp_path.iterdir())


def test_refuses_other_files(tmp_path):
    with pytest.raises(DeltaloomError, match=r"must end in .svg, .png, .pdf, not 'front.gif'"):
        draw(tmp_path / "front.gif", LINES)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeltaloomError, match="Picture .* must be writable: "):
        draw(tmp_path / "file" / "front.svg", LINES)


def test_says_what_brings_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'deltaloom\[plots\]' brings it"):
        draw(tmp_path / "front.svg", LINES)
