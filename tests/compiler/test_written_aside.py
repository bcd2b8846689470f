import pytest

from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.written_aside import written_aside


def test_appears_when_all_is_written(tmp_path):
    path = tmp_path / "x.json"
    with written_aside(path, "Thing") as aside:
        assert aside.suffix == path.suffix
        aside.write_text("{}")
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_what_was_there_stays_if_writing_fails(tmp_path):
    path = tmp_path / "x"
    path.write_text("before")
    with pytest.raises(TypeError), written_aside(path, "Thing") as aside:
        aside.write_bytes("text")
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_says_what_cannot_be_written(tmp_path):
    path = tmp_path / "missing" / "x"
    sentence = f"Thing {path} must be writable: No such file or directory"
    with pytest.raises(DeltaloomError, match=sentence), written_aside(path, "Thing") as aside:
        aside.write_text("")
