import json

import pytest

from deltaloom.bench import __main__ as command
from deltaloom.bench import figures
from deltaloom.bench.figures import Figure


def test_table_says_what_was_missed():
    rows = [
        Figure("speed", "10", "12", True),
        Figure("size", "under 5", "6", False),
        Figure("colour", "", "blue"),
    ]
    assert figures.table(rows).splitlines() == [
        "| what | reach | measured |",
        "|---|---|---|",
        "| speed | 10 | 12 |",
        "| size | under 5 | 6 (missed) |",
        "| colour |  | blue |",
    ]


def test_results_come_back_as_they_were_saved(tmp_path):
    assert figures.load("speed", tmp_path) is None
    figures.save("speed", {"seconds": 0.1}, tmp_path / "results")
    (path,) = (tmp_path / "results").iterdir()
    assert path.name == "speed.json"
    assert figures.load("speed", tmp_path / "results") == {
        "tools": figures.tools(),
        "seconds": 0.1,
    }
    before = path.read_bytes()
    figures.save("speed", {"seconds": 0.1}, tmp_path / "results")
    assert path.read_bytes() == before


def test_results_hold_neither_dates_nor_paths():
    for path in figures.RESULTS.glob("*.json"):
        text = path.read_text()
        assert not [word for word in ("/", "date") if f'"{word}' in text], path.name
        assert json.loads(text)["tools"]["python"]


def test_every_committed_result_is_shown():
    shown = command.show().splitlines()
    assert shown[0] == "| what | reach | measured |"
    measured = [name for name in command.NAMES if figures.load(name)]
    assert len(shown) >= 2 + len(measured)
    assert all(line.count("|") == 4 for line in shown[2:])


def test_table_on_the_command_line(capsys):
    assert command.main(["--table"]) == 0
    assert capsys.readouterr().out == command.show() + "\n"


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["beauty"])
    assert "Benchmark must be one of utilization, frequency," in capsys.readouterr().err


def test_machine_names_its_processor():
    found = figures.machine()
    assert found["processor"]
    assert found["cores"] >= 1
