import subprocess
import sys

import pytest

from deltaloom.boards import catalogue
from deltaloom.compiler.errors import ToolMissingError, UnsupportedError


def test_names():
    assert catalogue.names() == ["icebreaker", "ulx3s_25f", "ulx3s_85f"]


def test_unknown():
    with pytest.raises(
        UnsupportedError,
        match=r"^Board must be one of icebreaker, ulx3s_25f, ulx3s_85f, not 'arty'$",
    ):
        catalogue.get("arty")


@pytest.mark.parametrize("name", catalogue.names())
def test_pins_agree_with_amaranth_boards(name):
    board = catalogue.get(name)
    platform = board.open_platform()
    uart = platform.lookup("uart")
    pins = {sub.name: sub.ios[0].names[0] for sub in uart.ios}
    assert (pins["rx"], pins["tx"]) == board.uart
    assert platform.default_clk_frequency == board.oscillator
    assert platform.device == board.device


def test_listing_needs_no_boards_package():
    script = (
        "import sys; sys.modules['amaranth_boards'] = None\n"
        "from deltaloom.boards import catalogue\n"
        "assert catalogue.get('ulx3s_85f').multipliers == 156"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_missing_boards_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "amaranth_boards", None)
    monkeypatch.delitem(sys.modules, "amaranth_boards.ulx3s", raising=False)
    with pytest.raises(ToolMissingError, match=r"pip install deltaloom\[boards\]$"):
        catalogue.get("ulx3s_25f").open_platform()
